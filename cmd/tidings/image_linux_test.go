package main

import (
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"tidings/sim"
	"tidings/sim/simtest"
)

// The image's binary, built as the Dockerfile builds it, runs as the image's user on a root that holds nothing else and cannot be written; /data alone can. It is as far as
// that goes without an engine: the base image's own files are not there.
func TestTheImagesBinary(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "tidings-image-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	docker, err := os.ReadFile("../../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"CGO_ENABLED=0 go build -buildvcs=false -trimpath", "USER 65532:65532", `CMD ["/tidings", "health"]`, `ENTRYPOINT ["/tidings"]`} {
		if !strings.Contains(string(docker), line) {
			t.Fatalf("the Dockerfile has no %s any more", line)
		}
	}
	build := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-trimpath", "-ldflags", "-s -w -X main.version=image", "-o", filepath.Join(dir, "tidings"), ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	if err := os.Mkdir(filepath.Join(dir, "data"), 0o700); err != nil {
		t.Fatal(err)
	}
	d := simtest.Start(t, sim.Options{})
	owner := d.Person("owner")
	guild := d.Guild("Harbour", owner, nil, []string{"general"}, nil)
	c := configFor(t, d)
	c.Listen = freeAddress(t)
	token := makeToken(t, c, owner.ID)
	// The servers' sockets are for their users and this one; the image's comes by TCP.
	database, err := url.Parse(c.DatabaseURL)
	if err != nil {
		t.Fatal(err)
	}
	q := database.Query()
	host, port, err := net.SplitHostPort(forward(t, filepath.Join(q.Get("host"), ".s.PGSQL.5432")))
	if err != nil {
		t.Fatal(err)
	}
	q.Set("host", host)
	q.Set("port", port)
	q.Set("sslmode", "disable")
	database.RawQuery = q.Encode()
	redis := forward(t, strings.TrimPrefix(c.RedisURL, "unix://"))

	// A mount namespace is root's to make, or anybody's within a user namespace, where the image's user is the caller.
	root := os.Geteuid() == 0
	inside := func(args ...string) *exec.Cmd {
		script := `set -e
mount --make-rprivate /
mount --bind "$1" "$1"
mount --bind "$1/data" "$1/data"
mount -o remount,bind,ro "$1"
cd /
as=$2 to=$1
shift 2
exec chroot $as "$to" /tidings "$@"`
		unshare, as := []string{"--mount"}, "--userspec=65532:65532"
		if root {
			if err := os.Chown(filepath.Join(dir, "data"), 65532, 65532); err != nil {
				t.Fatal(err)
			}
		} else {
			unshare, as = []string{"--user", "--map-root-user", "--mount"}, "--skip-chdir"
		}
		cmd := exec.CommandContext(t.Context(), "unshare", append(append(unshare, "sh", "-c", script, "sh", dir, as), args...)...)
		cmd.Env = []string{
			"PATH=" + os.Getenv("PATH"), "DISCORD_TOKEN=" + c.DiscordToken, "DISCORD_CLIENT_ID=" + c.DiscordClientID, "DISCORD_CLIENT_SECRET=" + c.DiscordClientSecret, "DISCORD_URL=" + c.DiscordURL,
			"DATABASE_URL=" + database.String(), "REDIS_URL=redis://" + redis, "REDIS_PREFIX=" + c.RedisPrefix,
			"LISTEN=" + c.Listen, "DATA_DIR=/data", "LOG_FORMAT=json",
		}
		return cmd
	}
	serve := inside("serve")
	serve.Stdout, serve.Stderr = logWriter{t}, logWriter{t}
	if err := serve.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- serve.Wait() }()
	t.Cleanup(func() { _ = serve.Process.Kill() })
	run := &service{t: t, url: "http://" + c.Listen}
	me := credential{token: token}
	eventually(t, "the service is ready", time.Minute, func() bool {
		select {
		case err := <-ended:
			t.Fatalf("it has ended: %v", err)
		default:
		}
		status, _, err := run.try(credential{}, "GET", "/readyz", nil)
		return err == nil && status == http.StatusOK
	})
	d.Say(owner, guild.Channel("general"), "Good morning")
	eventually(t, "the channel is there", time.Minute, func() bool { return len(run.unread(me).channels()) == 1 })
	if out, err := inside("health").CombinedOutput(); err != nil {
		t.Errorf("the health check: %v\n%s", err, out)
	}
	if err := serve.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Errorf("it ends with %v", err)
	}
	if list, err := os.ReadDir(dir); err != nil || len(list) != 2 {
		t.Errorf("it has written outside of /data: %v, %v", list, err)
	}
	if list, err := os.ReadDir(filepath.Join(dir, "data")); err != nil || len(list) == 0 {
		t.Errorf("it has written nothing in /data: %v", err)
	}
}

// forward gives a unix socket an address on loopback.
func forward(t *testing.T, socket string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("unix", socket)
			if err != nil {
				in.Close()
				continue
			}
			go func() { _, _ = io.Copy(out, in); out.Close() }()
			go func() { _, _ = io.Copy(in, out); in.Close() }()
		}
	}()
	return l.Addr().String()
}
