package embedded

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"time"
)

// initdb makes the cluster under another name and renames it, so that a half-made one is never used.
func (b *postgresBackend) initdb(ctx context.Context, bin string, as identity) error {
	// Left by starts that were killed.
	if old, _ := filepath.Glob(filepath.Join(b.dir, "initdb-*")); len(old) > 0 {
		for _, dir := range old {
			os.RemoveAll(dir)
		}
	}
	tmp, err := os.MkdirTemp(b.dir, "initdb-*")
	if err != nil {
		return unwritable(b.dir, err)
	}
	defer os.RemoveAll(tmp)
	if err := as.own(tmp); err != nil {
		return err
	}
	var out []byte
	for _, locale := range []string{"C.UTF-8", "en_US.UTF-8", "C"} { // macOS has the second.
		out, err = b.runInitdb(ctx, bin, tmp, locale, as)
		if err == nil || !bytes.Contains(out, []byte("locale")) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("make a database in %s: initdb: %w\n%s", b.dir, err, bytes.TrimSpace(out))
	}
	if err := os.Remove(b.cluster); err != nil && !errors.Is(err, os.ErrNotExist) {
		return unwritable(b.cluster, err)
	}
	if err := os.Rename(tmp, b.cluster); err != nil {
		return unwritable(b.dir, err)
	}
	return syncDir(b.dir)
}

func (b *postgresBackend) runInitdb(ctx context.Context, bin, dir, locale string, as identity) ([]byte, error) {
	args := []string{"-D", dir, "-U", superuser, "-E", "UTF8", "--locale=" + locale, "--auth-local=trust", "--auth-host=reject", "--no-instructions"}
	if slices.Contains(b.settings, "fsync=off") {
		args = append(args, "--no-sync")
	}
	cmd := exec.CommandContext(ctx, filepath.Join(bin, "initdb"), args...)
	cmd.Dir = as.cwd(dir)
	cmd.Env = childEnv()
	cmd.SysProcAttr = as.attr()
	cmd.SysProcAttr.Setpgid = true
	cmd.WaitDelay = 10 * time.Second
	deathSignal(cmd.SysProcAttr, syscall.SIGKILL)
	runtime.LockOSThread() // The death signal comes when the starting thread ends.
	defer runtime.UnlockOSThread()
	return cmd.CombinedOutput()
}

// syncDir makes a rename last through a power cut.
func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}
