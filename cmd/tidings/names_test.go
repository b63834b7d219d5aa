package main

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"tidings/jobs"
	"tidings/jobs/pushtest"
	"tidings/sim"
	"tidings/sim/simtest"
)

// takes answers what is posted to hook, and lets everything else through.
type takes struct {
	hook   string
	rest   http.RoundTripper
	mu     sync.Mutex
	bodies []string
}

func (x *takes) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.String() != x.hook {
		return x.rest.RoundTrip(r)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	x.mu.Lock()
	x.bodies = append(x.bodies, string(b))
	x.mu.Unlock()
	return &http.Response{StatusCode: http.StatusNoContent, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
}

func (x *takes) got() []string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return append([]string{}, x.bodies...)
}

// What leaves the service for somebody says the names of roles and channels that they may know, and no others.
func TestNamesInPushesAndWebhooks(t *testing.T) {
	t.Parallel()
	d := simtest.Start(t, sim.Options{})
	owner, reader := d.Person("owner"), d.Person("reader")
	g := d.Guild("Harbour", owner, []simtest.Person{reader}, []string{"general", "nets", "vault"}, nil)
	var role struct{ ID string }
	d.Must(owner.Token, "POST", "/guilds/"+g.ID+"/roles", simtest.Object{"name": "pilots"}, &role)
	d.Must(owner.Token, "PUT", "/channels/"+g.Channel("vault")+"/permissions/"+g.ID, simtest.Object{"type": 0, "allow": "0", "deny": "1024"}, nil)
	push := pushtest.Start(t)
	out := &takes{hook: "https://example.com/hook", rest: push.HTTP().Transport}
	c := configFor(t, d)
	c.OutgoingHTTP = &http.Client{Transport: out}
	s := start(t, c)
	me := credential{token: makeToken(t, c, reader.ID)}
	eventually(t, "the reader sees two channels", time.Minute, func() bool { return len(s.unread(me).channels()) == 2 })
	b := push.Browser()
	browser := b.Subscription()
	browser["words"] = true
	if status := s.call(me, "POST", "/api/notifications/browsers", browser, nil); status != http.StatusOK {
		t.Fatalf("POST /api/notifications/browsers = %d", status)
	}
	if status := s.call(me, "POST", "/api/webhooks", simtest.Object{"url": out.hook, "mentions": true}, nil); status != http.StatusOK {
		t.Fatalf("POST /api/webhooks = %d", status)
	}

	d.Say(owner, g.Channel("general"), "<@"+reader.ID+">: <@&"+role.ID+"> to <#"+g.Channel("nets")+">, not <#"+g.Channel("vault")+"> or <#99>")
	eventually(t, "both are told", time.Minute, func() bool { return len(b.Pushes()) > 0 && len(out.got()) > 0 })
	var n jobs.Notice
	if err := json.Unmarshal(b.Pushes()[0].Body, &n); err != nil {
		t.Fatal(err)
	}
	if want := "@reader: @pilots to #nets, not #channel or #channel"; n.Body != want {
		t.Errorf("the browser shows %q, want %q", n.Body, want)
	}
	var told struct {
		Messages []struct {
			Message struct{ Content, HTML string }
		}
	}
	body := out.got()[0]
	if err := json.Unmarshal([]byte(body), &told); err != nil {
		t.Fatal(err)
	}
	html := told.Messages[0].Message.HTML
	for _, want := range []string{"@<bdi>pilots</bdi>", "#<bdi>nets</bdi>", `data-channel="` + g.Channel("vault") + `">#channel<`, `data-channel="99">#channel<`} {
		if !strings.Contains(html, want) {
			t.Errorf("the webhook is told %s, want %s in it", html, want)
		}
	}
	if strings.Contains(body, "vault") {
		t.Errorf("the webhook is told of a hidden channel: %s", body)
	}
}
