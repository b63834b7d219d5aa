package main

import (
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"tidings/sim"
	"tidings/sim/simtest"
)

func TestOperatorsHaveAnAddressOfTheirOwn(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	discord := simtest.Start(t, sim.Options{})
	owner := discord.Person("owner")
	guild := discord.Guild("Harbour", owner, nil, []string{"general"}, nil)
	c := configFor(t, discord)
	c.PollSchedule = "@every 1s"
	open := start(t, c)
	if status := open.call(credential{}, "GET", "/metrics", nil, nil); status != http.StatusOK {
		t.Errorf("GET /metrics without ADMIN_LISTEN = %d, want 200", status)
	}
	if err := open.stop(); err != nil {
		t.Fatal(err)
	}
	c.AdminListen = address
	closed := start(t, c)
	if status := closed.call(credential{}, "GET", "/metrics", nil, nil); status != http.StatusNotFound {
		t.Errorf("GET /metrics beside ADMIN_LISTEN = %d, want 404", status)
	}
	admin := &service{t: t, url: "http://" + address}
	for _, path := range []string{"/metrics", "/debug/pprof/"} {
		if status := admin.call(credential{}, "GET", path, nil, nil); status != http.StatusOK {
			t.Errorf("GET %s at ADMIN_LISTEN = %d, want 200", path, status)
		}
	}

	// Every metric that the dashboard and the alerts name is there, once something has happened.
	discord.Say(owner, guild.Channel("general"), "hello")
	named := map[string]bool{}
	for _, file := range []string{"../../deploy/grafana/tidings.json", "../../deploy/prometheus/alerts.yml"} {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range regexp.MustCompile(`\btidings_[a-z_]+`).FindAllString(string(b), -1) {
			named[strings.TrimSuffix(name, "_bucket")] = true
		}
	}
	if len(named) < 20 {
		t.Fatalf("only %d metrics are named", len(named))
	}
	var missing []string
	defer func() {
		if len(missing) > 0 {
			t.Errorf("there are no metrics %q", missing)
		}
	}()
	eventually(t, "every metric that is named is there", time.Minute, func() bool {
		_, text, err := admin.try(credential{}, "GET", "/metrics", nil)
		if err != nil {
			t.Fatal(err)
		}
		missing = nil
		for name := range named {
			if !strings.Contains(string(text), "# TYPE "+name+" ") {
				missing = append(missing, name)
			}
		}
		return len(missing) == 0
	})
}
