package main

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// instance is the name under which this process holds leases. A process that is started again, after a crash too, has the same
// name as before and takes its leases up at once instead of waiting for them to end: a name is in a file in DATA_DIR, locked
// for as long as its process lives. A second process in the same folder takes a second name, and so does one in a copy of the folder.
type instance struct {
	name string
	// run grows with each start. Should two processes have the same name all the same, because a disk was copied block by block, the
	// later one takes the leases and the other stands by.
	run  int64
	file *os.File
}

// owner names this process and its run in leases.
func (i *instance) owner() string { return fmt.Sprintf("%s#%d", i.name, i.run) }

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
		return &instance{name, time.Now().UnixNano(), f}, nil
	}
	return &instance{name: randomName(), run: time.Now().UnixNano()}, nil
}

// instanceName reads the name in a locked file, or writes one. Beside it stands which file it was written into: in a copy it is
// another, whose process must not take the first one's leases.
func instanceName(f *os.File) (string, error) {
	var st syscall.Stat_t
	if err := syscall.Fstat(int(f.Fd()), &st); err != nil {
		return "", err
	}
	buf := make([]byte, 128)
	n, _ := f.ReadAt(buf, 0)
	name, file, _ := strings.Cut(strings.TrimSpace(string(buf[:n])), "\n")
	mine := fmt.Sprint("file ", st.Ino)
	if len(name) == 32 && file == mine {
		return name, nil
	}
	if len(name) != 32 || file != "" { // Earlier versions wrote the name alone.
		name = randomName()
	}
	if err := f.Truncate(0); err != nil {
		return "", err
	}
	_, err := f.WriteAt([]byte(name+"\n"+mine+"\n"), 0)
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
