package embedded

import (
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// identity is the user that a server runs as.
type identity struct {
	name      string
	cred      *syscall.Credential // nil: as this process
	namespace int                 // not 0: in a user namespace where root's files belong to this uid
}

func (a identity) attr() *syscall.SysProcAttr {
	s := &syscall.SysProcAttr{Credential: a.cred}
	if a.namespace != 0 {
		enterNamespace(s, a.namespace)
	}
	return s
}

// own gives path to the identity.
func (a identity) own(path string) error {
	if a.cred == nil {
		return nil
	}
	return os.Chown(path, int(a.cred.Uid), int(a.cred.Gid))
}

// canUse tries whether the identity may run bin and enter dir: Go enters cmd.Dir after it changed the user, so that one
// start shows both.
func (a identity) canUse(bin, dir string) error {
	cmd := exec.Command(bin, "--version")
	cmd.Dir = dir
	cmd.Env = childEnv()
	cmd.SysProcAttr = a.attr()
	return cmd.Run()
}

// ordinaryUser finds who may run bin on data below dir, as Postgres does not run as root. data is the directory that the
// server owns, if it exists: its owner is kept.
func ordinaryUser(bin, dir, data string, names ...string) (identity, error) {
	var st syscall.Stat_t
	exists := syscall.Stat(data, &st) == nil
	if uid := os.Geteuid(); uid != 0 {
		if exists && int(st.Uid) != uid {
			return identity{}, fmt.Errorf("%s belongs to %s: run this program as that user, or run\n    sudo chown -R %d:%d %s\nor set DATA_DIR to another directory",
				data, userName(st.Uid), uid, os.Getegid(), quote(filepath.Dir(dir)))
		}
		return identity{name: userName(uint32(uid))}, nil
	}
	var tries []identity
	if exists && st.Uid != 0 {
		tries = append(tries, identity{name: userName(st.Uid), cred: &syscall.Credential{Uid: st.Uid, Gid: st.Gid}})
	}
	if !exists {
		for _, name := range names {
			u, err := user.Lookup(name)
			if err != nil {
				continue
			}
			uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
			gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
			if err1 == nil && err2 == nil && uid != 0 {
				tries = append(tries, identity{name: name, cred: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}})
			}
		}
	}
	if !exists || st.Uid == 0 {
		if a, ok := userNamespace(); ok {
			tries = append(tries, a)
		}
	}
	var failed []string
	for _, a := range tries {
		err := a.canUse(bin, dir)
		if err == nil {
			return a, nil
		}
		failed = append(failed, fmt.Sprintf("%s: %v", a.name, err))
	}
	return identity{}, fmt.Errorf("%s does not run as root, and no other user can run it in %s (%s).\nRun this program as an ordinary user, let others pass through the directories above (chmod o+x), or set DATA_DIR=/var/lib/tidings",
		filepath.Base(bin), dir, strings.Join(failed, "; "))
}

func userName(uid uint32) string {
	id := strconv.FormatUint(uint64(uid), 10)
	if u, err := user.LookupId(id); err == nil {
		return u.Username
	}
	return "user " + id
}
