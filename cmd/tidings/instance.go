package main

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// instance is the name under which this process holds leases. A process that is started again, after a crash too, has the same
// name as before and takes its leases up at once instead of waiting for them to end: a name is in a file in DATA_DIR, locked
// for as long as its process lives. A second process in the same folder takes a second name.
type instance struct {
	name string
	file *os.File
}

// maxInstances bounds how many processes of one folder keep their names; more get names for one run.
const maxInstances = 16

func takeInstance(dir string) (*instance, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make DATA_DIR: %w; choose another with DATA_DIR=…", err)
	}
	for n := range maxInstances {
		f, err := os.OpenFile(filepath.Join(dir, fmt.Sprintf("instance-%d", n)), os.O_RDWR|os.O_CREATE, 0o644)
		if err != nil {
			return nil, fmt.Errorf("keep this process' name in DATA_DIR: %w; choose another folder with DATA_DIR=…", err)
		}
		if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
			f.Close()
			continue
		}
		name, err := instanceName(f)
		if err != nil {
			f.Close()
			return nil, fmt.Errorf("keep this process' name in DATA_DIR: %w", err)
		}
		return &instance{name, f}, nil
	}
	return &instance{name: randomName()}, nil
}

// instanceName reads the name in a locked file, or writes one.
func instanceName(f *os.File) (string, error) {
	buf := make([]byte, 64)
	n, _ := f.ReadAt(buf, 0)
	if name := strings.TrimSpace(string(buf[:n])); len(name) == 32 {
		return name, nil
	}
	name := randomName()
	_, err := f.WriteAt([]byte(name+"\n"), 0)
	return name, err
}

func randomName() string {
	var b [16]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

func (i *instance) release() {
	if i.file != nil {
		i.file.Close() // which ends the lock
	}
}
