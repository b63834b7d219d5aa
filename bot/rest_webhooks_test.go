package bot

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
	"tidings/sim"
	"tidings/sim/simtest"
)

// A webhook is made, writes through the URL that was given, is listed without it, and is deleted; an announcement channel is followed.
func TestWebhooksOfChannels(t *testing.T) {
	t.Parallel()
	w := simulated(t, sim.Options{})
	ctx := t.Context()
	rest := w.bot.REST()
	id := func(s string) discord.ChannelID {
		n, err := discord.ParseSnowflake(s)
		if err != nil {
			t.Fatal(err)
		}
		return discord.ChannelID(n)
	}
	general := id(w.channel)
	made, err := rest.CreateWebhook(ctx, general, "weather", "asked for by Ann, \"quoted\" ü")
	if err != nil || made.Kind != tidings.WebhookIncoming || made.Channel != general || made.Name != "weather" || made.Creator != discord.UserID(w.Bot.ID) {
		t.Fatalf("CreateWebhook() = %+v, %v", made, err)
	}
	resp, err := http.Post(made.URL+"?wait=true", "application/json", strings.NewReader(`{"content":"rain"}`))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("posting to the webhook's URL = %s", resp.Status)
	}
	w.m.until(t, "what it writes arrives as a message", func() bool {
		for _, said := range w.heard() {
			if said == "rain" {
				return true
			}
		}
		return false
	})

	var news simtest.Object
	w.Must(w.ann.Token, "POST", "/guilds/"+w.guild.ID+"/channels", simtest.Object{"name": "news", "type": 5}, &news)
	follower, err := rest.FollowChannel(ctx, id(news["id"].(string)), general, "asked for")
	if err != nil || follower == 0 {
		t.Fatalf("FollowChannel() = %v, %v", follower, err)
	}
	m := w.Say(w.ann, news["id"].(string), "published")
	w.Must(w.ann.Token, "POST", "/channels/"+news["id"].(string)+"/messages/"+m["id"].(string)+"/crosspost", nil, nil)
	w.m.until(t, "what is published arrives in both channels", func() bool {
		n := 0
		for _, said := range w.heard() {
			if said == "published" {
				n++
			}
		}
		return n == 2
	})

	list, err := rest.ChannelWebhooks(ctx, general)
	if err != nil || len(list) != 2 || list[0].ID != made.ID || list[0].URL != "" || list[1].Kind != tidings.WebhookFollower || list[1].Source != "news" {
		t.Errorf("ChannelWebhooks() = %+v, %v", list, err)
	}
	for _, h := range list {
		if err := rest.DeleteWebhook(ctx, h.ID, "asked for"); err != nil {
			t.Errorf("DeleteWebhook() = %v", err)
		}
	}
	if list, err := rest.ChannelWebhooks(ctx, general); err != nil || len(list) != 0 {
		t.Errorf("afterwards ChannelWebhooks() = %+v, %v", list, err)
	}
	if _, err := rest.CreateWebhook(ctx, general, "discord", ""); !errors.Is(err, tidings.ErrInvalid) {
		t.Errorf("a forbidden name gives %v", err)
	}
	if err := rest.DeleteWebhook(ctx, made.ID, ""); !errors.Is(err, tidings.ErrNotFound) {
		t.Errorf("deleting it again gives %v", err)
	}

	// A POST whose answer is lost is not sent again: it may have been done.
	before := len(logOf(w).Requests)
	w.fault(simtest.Object{"kind": "status", "args": simtest.Object{"status": 502}, "match": simtest.Object{"route": "POST /channels/{channel_id}/webhooks"}, "count": 1})
	if _, err := rest.CreateWebhook(ctx, general, "twice", ""); !errors.Is(err, tidings.ErrUnavailable) {
		t.Errorf("a failure of Discord's gives %v", err)
	}
	posts := 0
	for _, r := range logOf(w).Requests[before:] {
		if r.Method == "POST" && strings.HasSuffix(r.Route, "/webhooks") {
			posts++
		}
	}
	if posts != 1 {
		t.Errorf("the webhook was asked for %d times, want once", posts)
	}
}

func logOf(w *world) requestLog {
	var l requestLog
	w.Sim200("GET", "/sim/log", nil, &l)
	return l
}
