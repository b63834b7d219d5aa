package jobs_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"
	"github.com/jmoiron/sqlx"
	"github.com/prometheus/client_golang/prometheus"

	"tidings"
	"tidings/jobs"
	"tidings/store"
)

func TestOnlyPublicAddressesAreConnectedTo(t *testing.T) {
	t.Parallel()
	for _, ip := range []string{
		"127.0.0.1", "127.9.9.9", "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "0.1.2.3",
		"192.0.0.8", "192.0.2.1", "198.18.0.1", "198.51.100.7", "203.0.113.7", "224.0.0.1", "240.0.0.1", "255.255.255.255",
		"::", "::1", "fe80::1", "fc00::1", "fd12::1", "fec0::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::1",
		"2002:7f00:1::", "2001::1", "2001:db8::1", "100::1",
	} {
		if jobs.PublicAddress(netip.MustParseAddr(ip)) {
			t.Errorf("%s is taken for a public address", ip)
		}
	}
	for _, ip := range []string{"1.1.1.1", "8.8.8.8", "100.128.0.1", "172.32.0.1", "2606:4700:4700::1111", "2a00:1450::1", "::ffff:8.8.8.8"} {
		if !jobs.PublicAddress(netip.MustParseAddr(ip)) {
			t.Errorf("%s is taken for a private address", ip)
		}
	}
}

func TestPrivateAddressesAreRefusedWhenConnecting(t *testing.T) {
	t.Parallel()
	reached := make(chan struct{}, 10)
	ts := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached <- struct{}{} }))
	t.Cleanup(ts.Close)
	c := jobs.OutgoingClient()
	port := ts.URL[strings.LastIndexByte(ts.URL, ':'):]
	for _, host := range []string{"127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0.0.0.0"} {
		_, err := c.Post("https://"+host+port+"/", "application/json", strings.NewReader("{}"))
		if !errors.Is(err, jobs.ErrPrivate) && (host != "localhost" || err == nil) {
			t.Errorf("%s: %v, want that the address is refused", host, err)
		}
	}
	if len(reached) > 0 {
		t.Error("it was reached")
	}
}

// target is somebody's https address.
type target struct {
	*httptest.Server
	mu     sync.Mutex
	bodies [][]byte
	heads  []http.Header
	status int
	header http.Header
}

func newTarget(t *testing.T) *target {
	x := &target{status: 204, header: http.Header{}}
	x.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		x.mu.Lock()
		defer x.mu.Unlock()
		x.bodies, x.heads = append(x.bodies, b), append(x.heads, r.Header)
		for k, v := range x.header {
			w.Header()[k] = v
		}
		w.WriteHeader(x.status)
	}))
	t.Cleanup(x.Close)
	return x
}

func (x *target) answer(status int, header ...string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.status, x.header = status, http.Header{}
	if len(header) == 2 {
		x.header.Set(header[0], header[1])
	}
}

func (x *target) got() ([][]byte, []http.Header) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return slices.Clone(x.bodies), slices.Clone(x.heads)
}

func (x *target) client() *http.Client {
	c := jobs.OutgoingClientTo(func(netip.Addr) bool { return true })
	c.Transport.(*http.Transport).TLSClientConfig = x.Client().Transport.(*http.Transport).TLSClientConfig
	return c
}

// reader is somebody with a webhook, in a guild of one open channel and one that is hidden.
type reader struct {
	t     *testing.T
	db    *sqlx.DB
	store *store.Store
	hook  store.OutgoingWebhook
	out   *jobs.Outgoing
	at    *target
	mu    sync.Mutex
	sees  []discord.ChannelID
	// unheard is what they see by what is stored, of which the process will hear later; nil where it knows all.
	unheard []discord.ChannelID
	epoch   int64
	last    discord.MessageID
}

const (
	readerID = discord.UserID(7)
	secret   = "the secret"
)

func newReader(t *testing.T, hook store.OutgoingWebhook) *reader {
	s, db, _ := open(t)
	r := &reader{t: t, db: db, store: s, at: newTarget(t), sees: []discord.ChannelID{501, 502}, last: tidings.FirstID(time.Now().Add(time.Hour))}
	ctx := t.Context()
	if _, err := s.SaveUser(ctx, tidings.User{ID: readerID, Name: "Ada"}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.RecordBarrier(ctx, tidings.Event{Guild: 500, At: time.Now(), Body: tidings.GuildSeen{
		Guild: tidings.Guild{ID: 500, Name: "Harbour", Available: true}, Channels: []tidings.Channel{{ID: 501, Guild: 500, Name: "deck"}, {ID: 502, Guild: 500, Name: "bridge"}},
	}}, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := s.SetKeywords(ctx, readerID, []string{"high tide"}); err != nil {
		t.Fatal(err)
	}
	hook.User, hook.URL, hook.Secret = readerID, r.at.URL, []byte("sealed "+secret)
	var err error
	if r.hook, err = s.CreateOutgoing(ctx, hook); err != nil {
		t.Fatal(err)
	}
	r.out = &jobs.Outgoing{
		Store: s, Visible: r.visible, Confirm: r.confirm, HTTP: r.at.client(), Log: slog.New(slog.DiscardHandler),
		Open:   func(_ discord.UserID, b []byte) ([]byte, error) { return b[len("sealed "):], nil },
		Encode: func(_ *tidings.VisibleSet, m tidings.Message) ([]byte, error) { return json.Marshal(m.Content) },
	}
	t.Cleanup(r.out.HTTP.CloseIdleConnections)
	return r
}

// confirm lets the process know what it has not heard of.
func (r *reader) confirm(_ context.Context, u discord.UserID, guilds ...discord.GuildID) (*tidings.VisibleSet, error) {
	r.mu.Lock()
	if r.unheard != nil && slices.Contains(guilds, 500) {
		r.sees, r.unheard = r.unheard, nil
		r.epoch++
	}
	r.mu.Unlock()
	return r.visible(u), nil
}

func (r *reader) visible(u discord.UserID) *tidings.VisibleSet {
	r.mu.Lock()
	defer r.mu.Unlock()
	g := tidings.VisibleGuild{Guild: tidings.Guild{ID: 500}, Roles: []discord.RoleID{510}}
	for _, c := range r.sees {
		g.Channels = append(g.Channels, tidings.Channel{ID: c, Guild: 500})
	}
	return &tidings.VisibleSet{User: u, Epoch: r.epoch, Guilds: []tidings.VisibleGuild{g}}
}

// say records a message and returns what was told of it.
func (r *reader) say(c discord.ChannelID, author discord.UserID, content, more string) tidings.Result {
	r.t.Helper()
	r.last += 1 << 22
	return r.sayAt(r.last, c, author, content, more)
}

func (r *reader) sayAt(id discord.MessageID, c discord.ChannelID, author discord.UserID, content, more string) tidings.Result {
	r.t.Helper()
	m, err := tidings.ParseMessage(fmt.Appendf(nil, `{"id":"%d","channel_id":"%d","content":%q,"author":{"id":"%d","username":"x"}%s}`, id, c, content, author, more), 500)
	if err != nil {
		r.t.Fatal(err)
	}
	res, err := r.store.Record(r.t.Context(), []tidings.Event{{Guild: 500, Channel: c, At: time.Now(), Body: tidings.MessageCreated{Message: m}}}, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	return res
}

func (r *reader) send() error {
	return r.out.Handle(r.t.Context(), store.Job{Kind: store.SendWebhook, Key: fmt.Sprint(r.hook.ID)})
}

func (r *reader) now() store.OutgoingWebhook {
	r.t.Helper()
	w, err := r.store.OutgoingWebhook(r.t.Context(), r.hook.ID)
	if err != nil {
		r.t.Fatal(err)
	}
	return w
}

// told lists what has arrived, as reasons and text.
func (r *reader) told() []string {
	r.t.Helper()
	bodies, _ := r.at.got()
	out := []string{}
	for _, b := range bodies {
		var d jobs.Delivery
		if err := json.Unmarshal(b, &d); err != nil {
			r.t.Fatal(err)
		}
		for _, m := range d.Messages {
			out = append(out, strings.Join(m.Why, "+")+" "+string(m.Message))
		}
	}
	return out
}

const mentionsAda = `,"mentions":[{"id":"7","username":"ada"}]`

func TestAWebhookIsToldOnceOfWhatItsPersonMaySee(t *testing.T) {
	t.Parallel()
	r := newReader(t, store.OutgoingWebhook{Mentions: true, Keywords: true})
	first := r.last
	r.say(501, 9, "hello ada", mentionsAda)
	r.say(501, 9, "the high tide comes", "")
	r.say(502, 9, "high tide, ada", mentionsAda)
	r.say(501, 9, "high water", "")
	r.say(501, readerID, "my own high tide", mentionsAda)
	if err := r.send(); err != nil {
		t.Fatal(err)
	}
	want := []string{`mention "hello ada"`, `keyword "the high tide comes"`, `mention+keyword "high tide, ada"`}
	if got := r.told(); !slices.Equal(got, want) {
		t.Fatalf("told %q, want %q", got, want)
	}
	bodies, heads := r.at.got()
	at, sum, _ := strings.Cut(strings.TrimPrefix(heads[0].Get("Tidings-Signature"), "t="), ",v1=")
	if sum != jobs.Sign([]byte(secret), at, bodies[0]) || heads[0].Get("Content-Type") != "application/json" {
		t.Errorf("signature %q does not fit", heads[0].Get("Tidings-Signature"))
	}
	// One of a lower id is stored late; nothing is told twice.
	r.sayAt(first+1<<21, 501, 9, "late, ada", mentionsAda)
	r.mu.Lock()
	r.sees = []discord.ChannelID{501}
	r.mu.Unlock()
	r.say(502, 9, "of a lost channel, ada", mentionsAda)
	for range 2 {
		if err := r.send(); err != nil {
			t.Fatal(err)
		}
	}
	if got := r.told(); !slices.Equal(got, append(want, `mention "late, ada"`)) {
		t.Errorf("told %q, want the late one more", got)
	}
}

// A process hears of a message before it hears that the channel was shut.
func TestAWebhookIsNotToldByRightsThatAreOld(t *testing.T) {
	t.Parallel()
	r := newReader(t, store.OutgoingWebhook{Mentions: true})
	r.say(501, 9, "hello ada", mentionsAda)
	r.say(502, 9, "of a lost channel, ada", mentionsAda)
	r.unheard = []discord.ChannelID{501}
	if err := r.send(); err != nil {
		t.Fatal(err)
	}
	if got, want := r.told(), []string{`mention "hello ada"`}; !slices.Equal(got, want) {
		t.Errorf("told %q, want %q", got, want)
	}
}

func TestWhatAWebhookDoesNotTakeIsToldLater(t *testing.T) {
	t.Parallel()
	r := newReader(t, store.OutgoingWebhook{Mentions: true})
	r.say(501, 9, "hello ada", mentionsAda)
	elsewhere := newTarget(t)
	for _, tt := range []struct {
		status int
		header []string
		why    string
	}{
		{500, nil, "it answered 500"},
		{302, []string{"Location", elsewhere.URL}, "it answered 302, and redirects are not followed"},
		{429, []string{"Retry-After", "9"}, "it answered 429"},
	} {
		r.at.answer(tt.status, tt.header...)
		err := r.send()
		if err == nil || r.now().LastError != tt.why {
			t.Errorf("%d: %v, %q, want %q", tt.status, err, r.now().LastError, tt.why)
		}
		var wait interface{ RetryAfter() time.Duration }
		if asked := errors.As(err, &wait); asked != (tt.status == 429) || asked && wait.RetryAfter() != 9*time.Second {
			t.Errorf("%d: waits %v", tt.status, err)
		}
	}
	if bodies, _ := elsewhere.got(); len(bodies) > 0 {
		t.Error("a redirect was followed")
	}
	if w := r.now(); w.Failures != 3 || w.Stopped {
		t.Errorf("after three failures: %+v", w)
	}
	r.at.answer(200)
	if err := r.send(); err != nil || r.now().Failures != 0 || r.now().LastError != "" {
		t.Errorf("after it works: %v, %+v", err, r.now())
	}
	n := len(r.told())
	r.say(501, 9, "again, ada", mentionsAda)
	r.at.answer(410)
	if err := r.send(); err != nil || !r.now().Stopped {
		t.Errorf("after 410: %v, %+v", err, r.now())
	}
	if err := r.send(); err != nil || len(r.told()) != n+1 {
		t.Errorf("one that is stopped is told: %v, %q", err, r.told())
	}
}

func TestAWebhookThatAlwaysFailsIsStopped(t *testing.T) {
	t.Parallel()
	r := newReader(t, store.OutgoingWebhook{Mentions: true})
	r.say(501, 9, "hello ada", mentionsAda)
	r.at.answer(500)
	for range 40 {
		if r.send() == nil {
			break
		}
	}
	if w := r.now(); !w.Stopped || w.Failures != 20 {
		t.Errorf("%+v, want stopped after 20 failures", w)
	}
}

// The whole way: a message is recorded, and the address hears of it.
func TestAlertsHaveWebhooksTold(t *testing.T) {
	t.Parallel()
	r := newReader(t, store.OutgoingWebhook{Mentions: true, Keywords: true})
	alerts := jobs.NewAlerts(r.store, r.visible, slog.New(slog.DiscardHandler))
	work := jobs.New(r.store, jobs.Options{Poll: 50 * time.Millisecond})
	work.Handle(store.SendWebhook, r.out.Handle, 2)
	work.Handle(jobs.AlertsKind, alerts.Look, 1)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { alerts.Run(ctx) })
	running.Go(func() { work.Run(ctx) })
	t.Cleanup(func() { cancel(); running.Wait() })
	until := func(n int) {
		t.Helper()
		deadline := time.After(60 * time.Second)
		for len(r.told()) < n {
			select {
			case <-deadline:
				t.Fatalf("told %q, want %d", r.told(), n)
			case <-time.After(20 * time.Millisecond):
			}
		}
	}
	alerts.Tell(ctx, r.say(501, 9, "hello <@&510>", `,"mention_roles":["510"]`))
	until(1)
	alerts.Tell(ctx, r.say(501, 9, "HIGH TIDE", ""))
	until(2)
	// Nobody says a word of this one; the timetable's job finds it.
	r.say(501, 9, "unheard, ada", mentionsAda)
	if _, err := r.store.Enqueue(ctx, store.NewJob{Kind: jobs.AlertsKind}); err != nil {
		t.Fatal(err)
	}
	until(3)
}

func TestHintsAreNeverWrongAboutWhatIsWanted(t *testing.T) {
	t.Parallel()
	set := &tidings.VisibleSet{User: 7, Guilds: []tidings.VisibleGuild{{Guild: tidings.Guild{ID: 500}, Roles: []discord.RoleID{510}}}}
	say := func(author discord.UserID, text string, m tidings.Mentions) tidings.Delta {
		return tidings.Delta{Guild: 500, Author: author, Mentions: m, Message: &tidings.Message{Content: text}}
	}
	for _, tt := range []struct {
		name string
		wish store.OutgoingWish
		d    tidings.Delta
		want bool
	}{
		{"a mention", store.OutgoingWish{User: 7, Mentions: true}, say(9, "", tidings.Mentions{Users: []discord.UserID{7}}), true},
		{"everyone", store.OutgoingWish{User: 7, Mentions: true}, say(9, "", tidings.Mentions{Everyone: true}), true},
		{"a role", store.OutgoingWish{User: 7, Mentions: true}, say(9, "", tidings.Mentions{Roles: []discord.RoleID{510}}), true},
		{"another role", store.OutgoingWish{User: 7, Mentions: true}, say(9, "", tidings.Mentions{Roles: []discord.RoleID{511}}), false},
		{"their own", store.OutgoingWish{User: 7, Mentions: true}, say(7, "", tidings.Mentions{Everyone: true}), false},
		{"a keyword", store.OutgoingWish{User: 7, Keywords: []string{"High Tide"}}, say(9, "a HIGH   tide", tidings.Mentions{}), true},
		{"no keyword", store.OutgoingWish{User: 7, Keywords: []string{"high tide"}}, say(9, "water", tidings.Mentions{}), false},
		{"a keyword of other letters", store.OutgoingWish{User: 7, Keywords: []string{"Ähre"}}, say(9, "ähre", tidings.Mentions{}), true},
		{"a view", store.OutgoingWish{User: 7, View: &store.ViewFilters{}}, say(9, "x", tidings.Mentions{}), true},
		{"a view of another author", store.OutgoingWish{User: 7, View: &store.ViewFilters{Authors: []discord.UserID{8}}}, say(9, "x", tidings.Mentions{}), false},
	} {
		if got := jobs.MayWant(tt.wish, set, tt.d); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
	if jobs.MayWant(store.OutgoingWish{User: 7, Mentions: true}, &tidings.VisibleSet{User: 7}, say(9, "", tidings.Mentions{Everyone: true})) {
		t.Error("somebody who sees nothing may want something")
	}
}

// counter states what is not so of channel 502.
type counter struct{ wrong bool }

func (counter) SampleReaders(context.Context, int) ([]discord.UserID, error) {
	return []discord.UserID{7, 8}, nil
}

func (c counter) VerifySome(_ context.Context, set *tidings.VisibleSet, list []discord.ChannelID) (stated, recounted []tidings.ReadChannel, err error) {
	for _, id := range list {
		n := tidings.ReadChannel{ID: id, Unread: 3}
		stated = append(stated, n)
		if c.wrong && id == 502 {
			n.Unread = 4
		}
		recounted = append(recounted, n)
	}
	return stated, recounted, nil
}

func TestMismatchesAreCountedAndNamed(t *testing.T) {
	t.Parallel()
	for _, wrong := range []bool{false, true} {
		metrics := prometheus.NewRegistry()
		var said strings.Builder
		visible := func(u discord.UserID) *tidings.VisibleSet {
			return &tidings.VisibleSet{User: u, Guilds: []tidings.VisibleGuild{{Channels: []tidings.Channel{{ID: 501}, {ID: 502}}}}}
		}
		h := jobs.Verify(counter{wrong}, visible, metrics, slog.New(slog.NewTextHandler(&said, nil)))
		if err := h(t.Context(), store.Job{}); err != nil {
			t.Fatal(err)
		}
		want := map[string]float64{"tidings_unread_verified_total": 4, "tidings_unread_mismatches_total": 0}
		if wrong {
			want["tidings_unread_mismatches_total"] = 2
		}
		if got := counters(t, metrics); !maps.Equal(got, want) {
			t.Errorf("wrong %v: %v, want %v", wrong, got, want)
		}
		if named := strings.Contains(said.String(), "channel=502"); named != wrong || strings.Contains(said.String(), "channel=501") {
			t.Errorf("wrong %v: the log says %s", wrong, said.String())
		}
	}
}

// counters reads all counters.
func counters(t *testing.T, r *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for _, f := range families {
		out[f.GetName()] = f.GetMetric()[0].GetCounter().GetValue()
	}
	return out
}

// With the real store: what is right is not taken for wrong, and what is wrong is seen.
func TestVerifySomeSeesWhatIsWrong(t *testing.T) {
	t.Parallel()
	s, db, _ := open(t)
	r := &reader{t: t, store: s, sees: []discord.ChannelID{501}, last: tidings.FirstID(time.Now().Add(-48 * time.Hour))}
	if _, err := s.SaveUser(t.Context(), tidings.User{ID: readerID}); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		r.say(501, 9, "x", "")
	}
	metrics := prometheus.NewRegistry()
	h := jobs.Verify(s, r.visible, metrics, slog.New(slog.DiscardHandler))
	for _, want := range []float64{0, 1} {
		if err := h(t.Context(), store.Job{}); err != nil {
			t.Fatal(err)
		}
		if got := counters(t, metrics)["tidings_unread_mismatches_total"]; got != want {
			t.Errorf("mismatches = %v, want %v", got, want)
		}
		if _, err := db.Exec(`UPDATE live_buckets SET n = n + 1`); err != nil {
			t.Fatal(err)
		}
	}
}

// noWay leads nowhere.
type noWay struct{}

func (noWay) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, errors.New("no route to host")
}

// Whoever knows such an address may write there, so it is in no log, however much is logged.
func TestAddressesThatAreToldAreNotLogged(t *testing.T) {
	t.Parallel()
	p := newPhone(t, true)
	var log bytes.Buffer
	p.out.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	p.push.Log = p.out.Log
	p.out.HTTP, p.push.HTTP = &http.Client{Transport: noWay{}}, &http.Client{Transport: noWay{}}
	p.say(501, 9, "hello <@7>", `,"mentions":[{"id":"7"}]`)
	if err := p.send(); err == nil {
		t.Error("the webhook is told")
	}
	if err := p.push.Handle(t.Context(), store.Job{Kind: store.SendPush, Key: fmt.Sprint(p.sub.ID)}); err == nil {
		t.Error("the browser is told")
	}
	if text := log.String(); strings.Count(text, "no route to host") != 2 || strings.Contains(text, p.at.URL) || strings.Contains(text, p.Endpoint) {
		t.Errorf("the log is %s, want twice why it could not be reached, and no address", text)
	}
}
