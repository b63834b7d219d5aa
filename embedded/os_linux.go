package embedded

import (
	"bytes"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// deathSignal makes the kernel send sig to the child when its parent ends in whatever way.
func deathSignal(a *syscall.SysProcAttr, sig syscall.Signal) { a.Pdeathsig = sig }

// Of <linux/capability.h>.
const (
	capDACOverride   = 1
	capDACReadSearch = 2
)

// passEverywhere lets a user through directories that others may not enter: by the right to read and search, or where root
// itself lacks that, as in a container, by the right to do more.
func passEverywhere(a identity) []identity {
	search, override := a, a
	search.name, search.capability = a.name+" with CAP_DAC_READ_SEARCH", capDACReadSearch
	override.name, override.capability = a.name+" with CAP_DAC_OVERRIDE", capDACOverride
	return []identity{search, override}
}

// userNamespace shows root's files to the child as those of an ordinary user, who must have a name or initdb refuses.
func userNamespace() []identity {
	for _, name := range []string{"postgres", "daemon", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		if uid, err := strconv.Atoi(u.Uid); err == nil && uid != 0 {
			return []identity{{name: "root, seen as " + name + " in a user namespace", namespace: uid}}
		}
	}
	return nil
}

func (a identity) enter(s *syscall.SysProcAttr) {
	if a.capability != 0 {
		s.AmbientCaps = []uintptr{a.capability}
	}
	if a.namespace != 0 {
		ids := []syscall.SysProcIDMap{{ContainerID: a.namespace, HostID: 0, Size: 1}}
		s.Cloneflags, s.UidMappings, s.GidMappings = syscall.CLONE_NEWUSER, ids, ids
	}
}

// worksIn says whether the living process pid has dir as its working directory, as the servers have.
func worksIn(pid int, dir string) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil || bytes.Contains(stat, []byte(") Z ")) {
		return false
	}
	cwd, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid))
	return err == nil && cwd == dir
}

// leftBehind lists the processes of a program that work in dir.
func leftBehind(program, dir string) []int {
	var pids []int
	links, _ := filepath.Glob("/proc/[0-9]*/exe")
	for _, link := range links {
		exe, err := os.Readlink(link) // of another user's process it cannot be read
		if err != nil || strings.TrimSuffix(filepath.Base(exe), " (deleted)") != program {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(link)))
		if err == nil && worksIn(pid, dir) {
			pids = append(pids, pid)
		}
	}
	return pids
}
