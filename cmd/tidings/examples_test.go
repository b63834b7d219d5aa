package main

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"tidings/sim"
	"tidings/sim/simtest"
)

// The examples in the repository do what they say against a running service.
func TestExamples(t *testing.T) {
	t.Parallel()
	d := simtest.Start(t, sim.Options{})
	owner, reader := d.Person("owner"), d.Person("reader")
	guild := d.Guild("Harbour", owner, []simtest.Person{reader}, []string{"general"}, nil)
	general := guild.Channel("general")
	c := configFor(t, d)
	me := credential{token: makeToken(t, c, reader.ID)}
	s := start(t, c)
	eventually(t, "the reader sees the channel", time.Minute, func() bool { return len(s.unread(me).channels()) == 1 })
	version, err := exec.Command("node", "--version").Output()
	if err != nil {
		t.Fatal(err)
	}
	// The node of some systems has no WebSocket yet, and cannot run the example, which says so.
	if major, _ := strconv.Atoi(strings.Split(strings.TrimPrefix(string(version), "v"), ".")[0]); major < 20 {
		if out, err := exec.Command("node", "--check", "../../examples/live.mjs").CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	} else {
		t.Run("JavaScript", func(t *testing.T) {
			example(t, d, owner, general, s, me, "node", "--experimental-websocket", "../../examples/live.mjs")
		})
	}
	built := filepath.Join(t.TempDir(), "live") // "go run" would leave it behind when it is killed
	if out, err := exec.Command("go", "build", "-o", built, "../../examples/live").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Run("Go", func(t *testing.T) { example(t, d, owner, general, s, me, built) })
}

// example runs one, which prints its counts, beside messages and a mark.
func example(t *testing.T, d *simtest.Running, by simtest.Person, channel string, s *service, me credential, args ...string) {
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	cmd := exec.CommandContext(ctx, args[0], append(args[1:], s.url)...)
	cmd.Env = append(os.Environ(), "TOKEN="+me.token)
	cmd.Stderr = logWriter{t}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	last := ""
	var reading sync.WaitGroup
	reading.Go(func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			mu.Lock()
			last = lines.Text()
			mu.Unlock()
		}
	})
	defer func() {
		stop()
		reading.Wait()
		_ = cmd.Wait()
	}()
	says := func(what, count string) {
		t.Helper()
		eventually(t, what, time.Minute, func() bool {
			mu.Lock()
			defer mu.Unlock()
			return strings.Contains(last, ": "+count+" unread")
		})
	}
	says("it begins with nothing", "0")
	d.Say(by, channel, "one")
	d.Say(by, channel, "two")
	says("it counts two", "2")
	if status := s.call(me, "POST", "/api/messages/read", map[string]any{"all": true, "up_to": s.unread(me).channels()[channel].LastID}, nil); status != 200 {
		t.Fatalf("POST /api/messages/read = %d", status)
	}
	says("it counts none after a mark", "0")
}
