package embedded

import (
	"bytes"
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
	name       string
	cred       *syscall.Credential // nil: as this process
	capability uintptr             // not 0: keeps this capability of root's
	namespace  int                 // not 0: in a user namespace where root's files belong to this uid
}

func (a identity) attr() *syscall.SysProcAttr {
	s := &syscall.SysProcAttr{Credential: a.cred}
	a.enter(s)
	return s
}

// own gives path to the identity.
func (a identity) own(path string) error {
	if a.cred == nil {
		return nil
	}
	return os.Chown(path, int(a.cred.Uid), int(a.cred.Gid))
}

// cwd is where a program of this identity starts that shall work in dir: a capability counts only once the program runs, so
// that it must go there by itself.
func (a identity) cwd(dir string) string {
	if a.capability != 0 {
		return "/"
	}
	return dir
}

// canUse tries whether the identity may run bin and enter dir.
func (a identity) canUse(bin, dir string) error {
	cmd := exec.Command("/bin/sh", "-c", `cd -- "$1" && exec "$2" --version`, "sh", dir, bin)
	cmd.Dir = "/"
	cmd.Env = childEnv()
	cmd.SysProcAttr = a.attr()
	out, err := cmd.CombinedOutput()
	if err != nil && len(out) > 0 {
		line, _, _ := bytes.Cut(out, []byte("\n"))
		err = fmt.Errorf("%w: %s", err, line)
	}
	return err
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
	var owner *syscall.Stat_t
	if exists {
		owner = &st
	}
	var failed []string
	for _, a := range insteadOfRoot(owner, names) {
		err := a.canUse(bin, dir)
		if err == nil {
			return a, nil
		}
		failed = append(failed, fmt.Sprintf("%s: %v", a.name, err))
	}
	return identity{}, fmt.Errorf("%s does not run as root, and no other user can run it in %s (%s).\nRun this program as an ordinary user, let others pass through the directories above (chmod o+x), or set DATA_DIR=/var/lib/tidings",
		filepath.Base(bin), dir, strings.Join(failed, "; "))
}

// insteadOfRoot lists who root may run a server as, best first: the user who owns its data, else one of names; where no
// other user may pass, as in a checkout below root's home, one who may pass everywhere; and where root may not give that
// away, root as seen from a user namespace.
func insteadOfRoot(owner *syscall.Stat_t, names []string) []identity {
	var users []identity
	if owner != nil {
		if owner.Uid != 0 {
			users = append(users, identity{name: userName(owner.Uid), cred: &syscall.Credential{Uid: owner.Uid, Gid: owner.Gid}})
		}
	} else {
		for _, name := range names {
			u, err := user.Lookup(name)
			if err != nil {
				continue
			}
			uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
			gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
			if err1 == nil && err2 == nil && uid != 0 {
				users = append(users, identity{name: name, cred: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}})
			}
		}
	}
	all := users
	for _, a := range users {
		all = append(all, passEverywhere(a)...)
	}
	if owner == nil || owner.Uid == 0 {
		all = append(all, userNamespace()...)
	}
	return all
}

func userName(uid uint32) string {
	id := strconv.FormatUint(uint64(uid), 10)
	if u, err := user.LookupId(id); err == nil {
		return u.Username
	}
	return "user " + id
}
