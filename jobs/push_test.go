package jobs_test

import (
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
	"tidings/jobs"
	"tidings/jobs/pushtest"
	"tidings/store"
)

// phone is the browser of the reader of newReader, told by Web Push.
type phone struct {
	*reader
	*pushtest.Browser
	service *pushtest.Service
	sub     store.PushSubscription
	push    *jobs.Push
	here    bool
	ended   bool
	now     time.Time
}

func newPhone(t *testing.T, words bool) *phone {
	p := &phone{reader: newReader(t, store.OutgoingWebhook{Mentions: true}), service: pushtest.Start(t)}
	p.last = tidings.FirstID(time.Now().Add(time.Second)) // above what is settled when it subscribes
	if _, err := p.db.Exec(`INSERT INTO baselines VALUES ($1, 500, 1)`, int64(readerID)); err != nil {
		t.Fatal(err)
	}
	p.Browser = p.service.Browser()
	p.subscribe(words)
	key, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p.push = &jobs.Push{
		Store: p.store, Visible: p.named, Confirm: p.confirmNamed, Log: slog.New(slog.DiscardHandler), HTTP: p.service.HTTP(), Subscriber: "https://tidings.example",
		Target: func(_ discord.UserID, sealed []byte) (x jobs.PushTarget, err error) {
			return x, json.Unmarshal(sealed, &x)
		},
		Keys: func(context.Context) (jobs.PushKeys, error) {
			return jobs.PushKeys{Public: base64.RawURLEncoding.EncodeToString(key.PublicKey().Bytes()), Private: base64.RawURLEncoding.EncodeToString(key.Bytes())}, nil
		},
		Alive: func(context.Context, string) (bool, error) { return !p.ended, nil },
		Here:  func(context.Context, discord.UserID) (bool, error) { return p.here, nil },
		Brief: func(_ *tidings.VisibleSet, m tidings.Message) (string, string) { return "Bob", m.Content },
		Now: func() time.Time {
			if p.now.IsZero() {
				return time.Now()
			}
			return p.now
		},
	}
	return p
}

func (p *phone) subscribe(words bool) {
	p.t.Helper()
	sealed, err := json.Marshal(p.Subscription())
	if err != nil {
		p.t.Fatal(err)
	}
	if p.sub, err = p.store.SavePush(p.t.Context(), store.PushSubscription{User: readerID, Session: "cookie x", Sealed: sealed, Words: words}, p.Endpoint); err != nil {
		p.t.Fatal(err)
	}
}

// named is what the reader sees, with names.
func (p *phone) named(u discord.UserID) *tidings.VisibleSet {
	set := p.visible(u)
	set.Guilds[0].Guild.Name = "Harbour"
	for i, c := range set.Guilds[0].Channels {
		set.Guilds[0].Channels[i].Name = map[discord.ChannelID]string{501: "deck", 502: "bridge"}[c.ID]
	}
	return set
}

// confirmNamed is confirm with names.
func (p *phone) confirmNamed(ctx context.Context, u discord.UserID, guilds ...discord.GuildID) (*tidings.VisibleSet, error) {
	if _, err := p.confirm(ctx, u, guilds...); err != nil {
		return nil, err
	}
	return p.named(u), nil
}

// look does the job, and lists what the phone shows by it.
func (p *phone) look() []string {
	p.t.Helper()
	before := len(p.Pushes())
	err := p.push.Handle(p.t.Context(), store.Job{Kind: store.SendPush, Key: fmt.Sprint(p.sub.ID)})
	if err != nil && !errors.Is(err, jobs.ErrYield) {
		p.t.Fatal(err)
	}
	return p.shown(before)
}

func (p *phone) shown(from int) []string {
	p.t.Helper()
	out := []string{}
	for _, x := range p.Pushes()[from:] {
		var n jobs.Notice
		if err := json.Unmarshal(x.Body, &n); err != nil {
			p.t.Fatal(err)
		}
		out = append(out, n.Title+": "+n.Body)
	}
	return out
}

func (p *phone) want(name string, got []string, want ...string) {
	p.t.Helper()
	if strings.Join(got, "|") != strings.Join(want, "|") {
		p.t.Errorf("%s: the phone shows %q, want %q", name, got, want)
	}
}

func (p *phone) level(scope discord.Snowflake, l tidings.NotifyLevel) {
	p.t.Helper()
	if _, err := p.store.SetNotifyLevel(p.t.Context(), readerID, scope, l); err != nil {
		p.t.Fatal(err)
	}
}

func TestAPhoneIsToldOnceOfWhatItsPersonWants(t *testing.T) {
	t.Parallel()
	p := newPhone(t, true)
	p.say(501, 9, "before ada answers", mentionsAda)
	p.say(501, readerID, "my own high tide", mentionsAda) // sending reads the channel
	p.say(501, 9, "hello ada", mentionsAda)
	p.say(501, 9, "the high tide comes", "")
	p.say(502, 9, "nobody asked", "")
	p.say(502, 9, "psst, ada", mentionsAda+`,"flags":4096`)
	p.want("mentions and words", p.look(), "Bob · #deck · Harbour: the high tide comes\nand 1 more")
	p.want("again", p.look())
	push := p.Pushes()[0]
	var n jobs.Notice
	if err := json.Unmarshal(push.Body, &n); err != nil || n.Tag != "c501" || len(n.IDs) != 2 || n.URL != "/c/501?at="+n.IDs[1] || push.Size > 4096 || push.Header.Get("Urgency") != "high" {
		t.Errorf("%v, %+v, %d bytes, %v", err, n, push.Size, push.Header)
	}

	p.level(501, tidings.NotifyNothing)
	p.level(502, tidings.NotifyAll)
	p.say(501, 9, "nothing, ada", mentionsAda)
	p.say(502, 9, "everything here", "")
	p.want("levels of channels", p.look(), "Bob · #bridge · Harbour: everything here\nand 1 more") // of a moment ago
	p.level(500, tidings.NotifyNothing)
	if _, err := p.store.UnsetNotifyLevel(t.Context(), readerID, 502); err != nil {
		t.Fatal(err)
	}
	p.say(502, 9, "of a guild of nothing, ada", mentionsAda)
	p.want("the level of the guild", p.look())
	p.level(502, tidings.NotifyMentions)
	p.say(502, 9, "the bridge again, ada", mentionsAda)
	// What was left out once is told when it is unread and wanted now, while it is news.
	if got := p.look(); len(got) != 1 || !strings.Contains(got[0], "the bridge again, ada") {
		t.Errorf("the phone shows %q, want the bridge's last", got)
	}

	if _, err := p.store.Mute(t.Context(), readerID, 502, time.Time{}); err != nil {
		t.Fatal(err)
	}
	p.say(502, 9, "muted, ada", mentionsAda)
	p.want("a mute", p.look())
	if _, err := p.store.Unmute(t.Context(), readerID, 502); err != nil {
		t.Fatal(err)
	}
	p.look()
	if _, err := p.store.Ignore(t.Context(), readerID, 8); err != nil {
		t.Fatal(err)
	}
	p.say(502, 8, "of somebody who is ignored, ada", mentionsAda)
	p.want("somebody who is ignored", p.look())
	if _, err := p.store.Suppress(t.Context(), readerID, 500, tidings.Suppression{Everyone: true}); err != nil {
		t.Fatal(err)
	}
	p.say(502, 9, "@everyone", `,"mention_everyone":true`)
	p.want("a mention that is suppressed", p.look())
	if _, err := p.store.SetNotifySettings(t.Context(), readerID, tidings.NotifyMentions, false, nil); err != nil {
		t.Fatal(err)
	}
	p.say(502, 9, "high tide", "")
	p.want("a word that is not to be told", p.look())
	p.mu.Lock()
	p.sees = []discord.ChannelID{501}
	p.mu.Unlock()
	p.say(502, 9, "of a lost channel, ada", mentionsAda)
	p.want("a channel that was lost", p.look())
}

func TestWhatNeedNotBeToldIsNot(t *testing.T) {
	t.Parallel()
	p := newPhone(t, true)
	// Deleted, or read, before the phone is told.
	gone := p.say(501, 9, "a mistake, ada", mentionsAda).Deltas[0].ID
	if _, err := p.store.Record(t.Context(), []tidings.Event{{Guild: 500, Channel: 501, At: time.Now(), Body: tidings.MessagesDeleted{IDs: []discord.MessageID{gone}}}}, nil); err != nil {
		t.Fatal(err)
	}
	read := p.say(502, 9, "read elsewhere, ada", mentionsAda).Deltas[0].ID
	if _, err := p.store.MarkRead(t.Context(), p.visible(readerID), tidings.MarkRead{Channel: 502, UpTo: read}); err != nil {
		t.Fatal(err)
	}
	p.want("deleted and read", p.look())

	// While they look at a page it waits; who goes away without having read is told after all.
	p.here = true
	p.say(501, 9, "you are here, ada", mentionsAda)
	handle := func() error {
		return p.push.Handle(t.Context(), store.Job{Kind: store.SendPush, Key: fmt.Sprint(p.sub.ID)})
	}
	var wait interface{ RetryAfter() time.Duration }
	if err := handle(); !errors.As(err, &wait) || len(p.Pushes()) > 0 {
		t.Errorf("somebody who is here: %v, %d pushes, want that it is looked at again", err, len(p.Pushes()))
	}
	p.here = false
	p.want("gone without reading", p.look(), "Bob · #deck · Harbour: you are here, ada")
	p.here = true
	p.say(501, 9, "seen, ada", mentionsAda)
	p.now = time.Now().Add(10 * time.Minute)
	p.want("looked at for long", p.look())
	p.here, p.now = false, time.Time{}
	p.want("after that", p.look())

	// Quiet hours, in the person's own zone, over midnight.
	p.now = time.Date(2026, 1, 10, 22, 30, 0, 0, time.UTC) // half past midnight in Helsinki
	if _, err := p.store.SetNotifySettings(t.Context(), readerID, tidings.NotifyMentions, true, &tidings.QuietHours{From: 23 * 60, To: 7 * 60, Zone: "Europe/Helsinki"}); err != nil {
		t.Fatal(err)
	}
	p.say(501, 9, "sleep well, ada", mentionsAda)
	p.want("quiet hours", p.look())
	p.now = time.Date(2026, 1, 10, 5, 0, 0, 0, time.UTC)
	p.want("after them", p.look())
	p.say(501, 9, "good morning, ada", mentionsAda)
	p.want("in the morning", p.look(), "Bob · #deck · Harbour: good morning, ada")
}

// A process hears of a message before it hears that the channel was shut.
func TestAPhoneIsNotToldByRightsThatAreOld(t *testing.T) {
	t.Parallel()
	p := newPhone(t, true)
	p.say(502, 9, "of a lost channel, ada", mentionsAda)
	p.unheard = []discord.ChannelID{501}
	p.want("what was lost", p.look())
}

func TestAPhoneWithoutWordsIsNotToldWhatWasWritten(t *testing.T) {
	t.Parallel()
	p := newPhone(t, false)
	p.say(501, 9, "the secret of ada", mentionsAda)
	p.say(502, 9, "a high tide of secrets", "")
	p.want("no words", p.look(), "You were mentioned: #deck · Harbour", "A word that you watch: #bridge · Harbour")
	for _, x := range p.Pushes() {
		if strings.Contains(string(x.Body), "secret") || strings.Contains(string(x.Body), "Bob") {
			t.Errorf("it is told %s", x.Body)
		}
	}
}

func TestAPhoneThatIsGoneIsForgotten(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		status int
		end    func(p *phone)
	}{
		{"gone", 410, nil},
		{"not found", 404, nil},
		{"its session has ended", 201, func(p *phone) { p.ended = true }},
		{"its keys cannot be read", 201, func(p *phone) {
			p.push.Target = func(discord.UserID, []byte) (jobs.PushTarget, error) {
				return jobs.PushTarget{}, errors.New("another key")
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := newPhone(t, true)
			p.say(501, 9, "hello ada", mentionsAda)
			p.service.Answer(tt.status, "")
			if tt.end != nil {
				tt.end(p)
			}
			p.want("it is gone", p.look())
			if list, err := p.store.PushSubscriptions(t.Context(), readerID); err != nil || len(list) != 0 {
				t.Errorf("%d subscriptions are left, %v", len(list), err)
			}
		})
	}
	p := newPhone(t, true)
	p.push.HTTP = jobs.OutgoingClient()
	sealed, _ := json.Marshal(map[string]any{"endpoint": "https://127.0.0.1:1/x", "keys": p.Subscription()["keys"]})
	var err error
	if p.sub, err = p.store.SavePush(t.Context(), store.PushSubscription{User: readerID, Session: "cookie y", Sealed: sealed}, "inside"); err != nil {
		t.Fatal(err)
	}
	p.say(501, 9, "hello ada", mentionsAda)
	p.want("an address inside", p.look())
	if list, err := p.store.PushSubscriptions(t.Context(), readerID); err != nil || len(list) != 1 {
		t.Errorf("%d subscriptions are left, %v, want the other one", len(list), err)
	}
}

func TestAPushServiceThatIsAwayIsTriedAgain(t *testing.T) {
	t.Parallel()
	p := newPhone(t, true)
	p.say(501, 9, "hello ada", mentionsAda)
	for _, tt := range []struct {
		status int
		says   string
		want   time.Duration
	}{{503, "", 5 * time.Second}, {429, "90", 90 * time.Second}} {
		p.service.Answer(tt.status, tt.says)
		err := p.push.Handle(t.Context(), store.Job{Kind: store.SendPush, Key: fmt.Sprint(p.sub.ID)})
		var wait interface{ RetryAfter() time.Duration }
		if !errors.As(err, &wait) || wait.RetryAfter() != tt.want {
			t.Errorf("%d: %v, want to be tried again after %v", tt.status, err, tt.want)
		}
	}
	if sub, err := p.store.PushSubscription(t.Context(), p.sub.ID); err != nil || sub.Failures != 2 || sub.LastError != "the push service answered 429" {
		t.Errorf("%+v, %v", sub, err)
	}
	p.service.Answer(201, "")
	p.want("it is back", p.look(), "Bob · #deck · Harbour: hello ada")
	// Twenty failures in a row are an end.
	p.service.Answer(500, "")
	p.say(501, 9, "again, ada", mentionsAda)
	for range 40 {
		if p.push.Handle(t.Context(), store.Job{Kind: store.SendPush, Key: fmt.Sprint(p.sub.ID)}) == nil {
			break
		}
	}
	if n := p.service.Asked(); n != 2+1+20 {
		t.Errorf("it was asked %d times", n)
	}
	if _, err := p.store.PushSubscription(t.Context(), p.sub.ID); !errors.Is(err, tidings.ErrNotFound) {
		t.Errorf("after 20 failures: %v", err)
	}
}

func TestManyChannelsMakeFewNotifications(t *testing.T) {
	t.Parallel()
	p := newPhone(t, true)
	var channels []tidings.Channel
	for c := discord.ChannelID(601); c <= 608; c++ {
		channels = append(channels, tidings.Channel{ID: c, Guild: 500, Name: fmt.Sprint("c", c)})
		p.mu.Lock()
		p.sees = append(p.sees, c)
		p.mu.Unlock()
	}
	if _, err := p.store.RecordBarrier(t.Context(), tidings.Event{Guild: 500, At: time.Now(), Body: tidings.GuildSeen{Guild: tidings.Guild{ID: 500, Name: "Harbour", Available: true}, Channels: channels}}, nil); err != nil {
		t.Fatal(err)
	}
	for _, c := range channels {
		p.say(c.ID, 9, "hello ada", mentionsAda)
	}
	got := p.look()
	if len(got) != 5 || got[4] != "More for you: 4 messages in 4 more channels" {
		t.Errorf("the phone shows %q", got)
	}
	p.want("again", p.look())
}

// The whole way: a message is recorded, and the phone hears of it.
func TestAlertsHavePhonesTold(t *testing.T) {
	t.Parallel()
	p := newPhone(t, true)
	p.level(502, tidings.NotifyAll)
	alerts := jobs.NewAlerts(p.store, p.named, slog.New(slog.DiscardHandler))
	work := jobs.New(p.store, jobs.Options{Poll: 50 * time.Millisecond})
	work.Handle(store.SendPush, p.push.Handle, 2)
	work.Handle(jobs.PushesKind, alerts.LookPush, 1)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 2)
	go func() { ended <- alerts.Run(ctx) }()
	go func() { ended <- work.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		<-ended
		<-ended
	})
	until := func(n int) {
		t.Helper()
		deadline := time.After(2 * time.Minute)
		for len(p.Pushes()) < n {
			select {
			case <-deadline:
				t.Fatalf("the phone shows %q, want %d", p.shown(0), n)
			case <-time.After(20 * time.Millisecond):
			}
		}
	}
	alerts.Tell(ctx, p.say(501, 9, "hello <@&510>", `,"mention_roles":["510"]`))
	until(1)
	alerts.Tell(ctx, p.say(502, 9, "anything", ""))
	until(2)
	p.say(501, 9, "unheard, ada", mentionsAda)
	if _, err := p.store.Enqueue(ctx, store.NewJob{Kind: jobs.PushesKind}); err != nil {
		t.Fatal(err)
	}
	until(3)
}

// failsOnce is a way to push services on which one request gets nowhere.
type failsOnce struct {
	http.RoundTripper
	at, n int
}

func (f *failsOnce) RoundTrip(r *http.Request) (*http.Response, error) {
	if f.n++; f.n == f.at {
		return nil, errors.New("the line is broken")
	}
	return f.RoundTripper.RoundTrip(r)
}

// The push service was away for longer than messages are news, and breaks off again in the middle.
func TestWhatCouldNotBeToldYetIsToldLater(t *testing.T) {
	t.Parallel()
	p := newPhone(t, true)
	began := tidings.FirstID(time.Now().Add(-time.Hour))
	if _, err := p.db.Exec(`UPDATE push_subscriptions SET settled_id = $1`, int64(began)); err != nil {
		t.Fatal(err)
	}
	p.last = began
	p.say(501, 9, "one, ada", mentionsAda)
	p.say(502, 9, "two, ada", mentionsAda)
	p.last = tidings.FirstID(time.Now().Add(-40 * time.Minute))
	p.say(501, 9, "three, ada", mentionsAda)
	p.last = tidings.FirstID(time.Now().Add(-30 * time.Minute))
	p.say(501, 9, "four, ada", mentionsAda)
	client := *p.push.HTTP
	client.Transport = &failsOnce{RoundTripper: client.Transport, at: 2}
	p.push.HTTP = &client
	job := store.Job{Kind: store.SendPush, Key: fmt.Sprint(p.sub.ID)}
	if err := p.push.Handle(t.Context(), job); err == nil {
		t.Fatal("the second push did not fail")
	}
	p.want("before the line broke", p.shown(0), "Bob · #deck · Harbour: four, ada\nand 2 more")
	p.want("then", p.look(), "Bob · #bridge · Harbour: two, ada")
	p.want("and again", p.look())

	// More than one look tells.
	if _, err := p.db.Exec(`UPDATE push_subscriptions SET settled_id = $1`, int64(tidings.FirstID(time.Now().Add(-25*time.Minute)))); err != nil {
		t.Fatal(err)
	}
	p.last = tidings.FirstID(time.Now().Add(-20 * time.Minute))
	for n := range 45 {
		p.say(501, 9, fmt.Sprintf("%d, ada", n), mentionsAda)
	}
	p.want("the first forty", p.look(), "Bob · #deck · Harbour: 39, ada\nand 39 more")
	p.want("the others", p.look(), "Bob · #deck · Harbour: 44, ada\nand 4 more")
	p.want("after that", p.look())
}
