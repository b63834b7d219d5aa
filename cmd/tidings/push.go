package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	_ "time/tzdata" // quiet hours are in people's time zones, which a container need not know

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
	"tidings/access"
	"tidings/hub"
	"tidings/jobs"
	"tidings/render"
	"tidings/store"
	"tidings/web"
)

// newPush makes the handler that tells browsers by Web Push.
func newPush(c *Config, st *store.Store, who *access.Access, live *hub.Hub, site *web.Server, address string, log *slog.Logger) *jobs.Push {
	p := &jobs.Push{
		Store: st, Visible: who.Visible, Confirm: who.Confirm, Alive: site.Alive, Here: live.Here, HTTP: cmp.Or(c.OutgoingHTTP, jobs.OutgoingClient()),
		Subscriber: pushSubscriber(address), Log: log,
		Target: func(u discord.UserID, sealed []byte) (t jobs.PushTarget, err error) {
			plain, err := site.OpenSecret(u, sealed)
			if err == nil {
				err = json.Unmarshal(plain, &t)
			}
			if err != nil {
				err = fmt.Errorf("open a push subscription: %w", err)
			}
			return t, err
		},
		Brief: func(set *tidings.VisibleSet, m tidings.Message) (author, text string) {
			return render.AuthorName(m), render.Excerpt(m, render.NewNames(set, who.Guild))
		},
	}
	p.Keys = func(ctx context.Context) (k jobs.PushKeys, err error) {
		k.Public, k.Private, err = site.PushKeys(ctx)
		return k, err
	}
	return p
}

// pushSubscriber names the service to push services: its address, or a mail address at its host where that is not https.
func pushSubscriber(address string) string {
	if strings.HasPrefix(address, "https://") {
		return address
	}
	u, err := url.Parse(address)
	if err != nil {
		return "tidings@localhost"
	}
	return "tidings@" + u.Hostname()
}
