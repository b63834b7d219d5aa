package embedded

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// maxSocketPath is what the narrowest system takes as a unix socket's path, in bytes (macOS 103, Linux 107).
const maxSocketPath = 103

// socketDir names the directory of a server's socket: below dir, or in /tmp when that would be too long. It depends on dir
// alone and not on TMPDIR, so that a second process finds it.
func socketDir(dir, socket string) string {
	run := filepath.Join(dir, "run")
	if len(run)+1+len(socket) <= maxSocketPath {
		return run
	}
	return fmt.Sprintf("/tmp/tidings-%x", sha256.Sum256([]byte(dir)))[:len("/tmp/tidings-")+16]
}

// makeSocketDir makes the directory and gives it to the identity alone.
func makeSocketDir(dir string, as identity) error {
	err := os.Mkdir(dir, 0o700)
	if err != nil && !os.IsExist(err) {
		return unwritable(dir, err)
	}
	// In /tmp another user may have been there first. Lstat, because a link is not ours either.
	var st syscall.Stat_t
	if err := syscall.Lstat(dir, &st); err != nil {
		return unwritable(dir, err)
	}
	mine := int(st.Uid) == os.Geteuid() || as.cred != nil && st.Uid == as.cred.Uid || os.Geteuid() == 0 && filepath.Dir(dir) != "/tmp"
	if st.Mode&syscall.S_IFMT != syscall.S_IFDIR || st.Mode&0o077 != 0 || !mine {
		return fmt.Errorf("%s must be a directory of mode 0700 of this program's user, but is not: remove it", dir)
	}
	uid, gid := os.Geteuid(), os.Getegid()
	if as.cred != nil {
		uid, gid = int(as.cred.Uid), int(as.cred.Gid)
	}
	if int(st.Uid) == uid {
		return nil
	}
	if err := os.Chown(dir, uid, gid); err != nil {
		return fmt.Errorf("give %s to %s: %w", dir, as.name, err)
	}
	return nil
}
