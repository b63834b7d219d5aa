package web

import (
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// inbox keeps deliveries in memory.
type inbox struct {
	mu   sync.Mutex
	kept []string
	seen map[string]bool
	err  error
	hang bool
}

func (i *inbox) KeepWebhook(ctx context.Context, source string, replayKey, body []byte, _ time.Duration) (bool, error) {
	if i.hang {
		<-ctx.Done()
		return false, ctx.Err()
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.err != nil {
		return false, i.err
	}
	if key := source + string(replayKey); i.seen[key] {
		return false, nil
	} else if i.seen == nil {
		i.seen = map[string]bool{key: true}
	} else {
		i.seen[key] = true
	}
	i.kept = append(i.kept, source+" "+string(body))
	return true, nil
}

// keyOf makes a key of a letter.
func keyOf(letter string) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed([]byte(strings.Repeat(letter, ed25519.SeedSize)))
}

func public(k ed25519.PrivateKey) ed25519.PublicKey { return k.Public().(ed25519.PublicKey) }

// hooked serves a world with Discord's key "d" and a relay "mill" with the key "m".
func hooked(t testing.TB, box Inbox) *httptest.Server {
	return newWorld(t).serve(func(o *Options) {
		o.Webhooks = &WebhookOptions{
			Inbox: box, Relays: []Relay{{Name: "mill", Key: public(keyOf("m"))}},
			DiscordKey: func(context.Context) (ed25519.PublicKey, error) { return public(keyOf("d")), nil },
		}
	})
}

// delivery is one request to the webhook address.
type delivery struct {
	source, body, stamp string
	key                 string // the letter of the key that signs
	kind                string // of content; "" is JSON
	spoil               func(h http.Header)
}

func (d delivery) send(t testing.TB, url string) (status int, text string) {
	t.Helper()
	if d.stamp == "" {
		d.stamp = strconv.FormatInt(time.Now().Unix(), 10)
	}
	if d.kind == "" {
		d.kind = "application/json"
	}
	r, err := http.NewRequestWithContext(t.Context(), "POST", url+"/webhooks/discord/"+d.source, strings.NewReader(d.body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", d.kind)
	r.Header.Set("X-Signature-Timestamp", d.stamp)
	r.Header.Set("X-Signature-Ed25519", hex.EncodeToString(ed25519.Sign(keyOf(d.key), []byte(d.stamp+d.body))))
	if d.spoil != nil {
		d.spoil(r.Header)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	if resp.StatusCode == http.StatusNoContent && resp.Header.Get("Content-Type") == "" {
		t.Error("204 without a content type, which Discord wants")
	}
	return resp.StatusCode, string(b)
}

const (
	aPing  = `{"version":1,"application_id":"1","type":0}`
	aLeave = `{"version":1,"application_id":"1","type":1,"event":{"type":"APPLICATION_DEAUTHORIZED","timestamp":"2026-08-01T10:00:00Z","data":{"user":{"id":"3"}}}}`
	aFrame = `{"op":0,"t":"MESSAGE_CREATE","s":1,"d":{"id":"5","channel_id":"6","guild_id":"7","content":"written"}}`
)

// Each way in which a delivery can be wrong has its documented answer and leaves no row.
func TestWebhooksThatAreNotKept(t *testing.T) {
	t.Parallel()
	ago := func(d time.Duration) string { return strconv.FormatInt(time.Now().Add(-d).Unix(), 10) }
	for what, c := range map[string]struct {
		d    delivery
		want int
	}{
		"a PING":                          {delivery{source: "discord", key: "d", body: aPing}, 204},
		"a type of no interest":           {delivery{source: "discord", key: "d", body: strings.Replace(aLeave, "APPLICATION_DEAUTHORIZED", "ENTITLEMENT_CREATE", 1)}, 204},
		"a frame of no interest":          {delivery{source: "mill", key: "m", body: strings.Replace(aFrame, "MESSAGE_CREATE", "TYPING_START", 1)}, 204},
		"a PING with a bad signature":     {delivery{source: "discord", key: "m", body: aPing}, 401},
		"an event with a bad signature":   {delivery{source: "discord", key: "m", body: aLeave}, 401},
		"no signature":                    {delivery{source: "discord", key: "d", body: aLeave, spoil: func(h http.Header) { h.Del("X-Signature-Ed25519") }}, 401},
		"a signature that is not hex":     {delivery{source: "discord", key: "d", body: aLeave, spoil: func(h http.Header) { h.Set("X-Signature-Ed25519", "zz") }}, 401},
		"a signature that is too short":   {delivery{source: "discord", key: "d", body: aLeave, spoil: func(h http.Header) { h.Set("X-Signature-Ed25519", "abcd") }}, 401},
		"another time than was signed":    {delivery{source: "discord", key: "d", body: aLeave, spoil: func(h http.Header) { h.Set("X-Signature-Timestamp", ago(-time.Second)) }}, 401},
		"no time":                         {delivery{source: "discord", key: "d", body: aLeave, spoil: func(h http.Header) { h.Del("X-Signature-Timestamp") }}, 401},
		"an old time":                     {delivery{source: "discord", key: "d", body: aLeave, stamp: ago(16 * time.Minute)}, 401},
		"a relay's old time":              {delivery{source: "mill", key: "m", body: aFrame, stamp: ago(6 * time.Minute)}, 401},
		"a time to come":                  {delivery{source: "discord", key: "d", body: aLeave, stamp: ago(-time.Hour)}, 401},
		"a time that is no number":        {delivery{source: "discord", key: "d", body: aLeave, stamp: "yesterday"}, 401},
		"an oversize body":                {delivery{source: "discord", key: "d", body: aLeave + strings.Repeat(" ", 1<<20)}, 413},
		"a form":                          {delivery{source: "discord", key: "d", body: aLeave, kind: "application/x-www-form-urlencoded"}, 415},
		"lines from Discord":              {delivery{source: "discord", key: "d", body: aLeave, kind: "application/x-ndjson"}, 415},
		"no JSON":                         {delivery{source: "discord", key: "d", body: "hello"}, 400},
		"a frame from Discord":            {delivery{source: "discord", key: "d", body: aFrame}, 400},
		"a frame with a number as name":   {delivery{source: "mill", key: "m", body: `{"op":0,"t":5,"d":{}}`}, 400},
		"a list of numbers":               {delivery{source: "mill", key: "m", body: `[1]`}, 400},
		"half a frame":                    {delivery{source: "mill", key: "m", body: aFrame[:40]}, 400},
		"a source that nobody knows":      {delivery{source: "other", key: "m", body: aFrame}, 404},
		"a relay under another's name":    {delivery{source: "discord", key: "m", body: aLeave}, 401},
		"Discord's event from a relay":    {delivery{source: "mill", key: "m", body: aLeave}, 204},
		"a gateway event in Discord's":    {delivery{source: "discord", key: "d", body: strings.Replace(aLeave, "APPLICATION_DEAUTHORIZED", "MESSAGE_CREATE", 1)}, 204},
		"an address below the source":     {delivery{source: "discord/more", key: "d", body: aLeave}, 404},
		"a source with escaped traversal": {delivery{source: "..%2fdiscord", key: "d", body: aLeave}, 404},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			box := &inbox{}
			got, text := c.d.send(t, hooked(t, box).URL)
			if got != c.want {
				t.Errorf("answered %d %q, want %d", got, text, c.want)
			}
			if said := strings.Contains(text, `"detail":"`); said != (got >= 400) || strings.Contains(text, "json:") || strings.Contains(text, "Go ") {
				t.Errorf("answered %q, want a problem in our own words", text)
			}
			if len(box.kept) > 0 {
				t.Errorf("%d rows, want none", len(box.kept))
			}
		})
	}
}

func TestTheWebhookAddressAnswersOtherMethodsAsTheAPIDoes(t *testing.T) {
	t.Parallel()
	ts := hooked(t, &inbox{})
	for _, c := range []struct {
		method, path string
		status       int
		allow        string
	}{
		{"GET", "/webhooks/discord/mill", 405, "POST"},
		{"HEAD", "/webhooks/discord/mill", 405, "POST"},
		{"PUT", "/webhooks/discord/mill", 405, "POST"},
		{"POST", "/webhooks/discord", 404, ""},
		{"POST", "/webhooks/discord/mill/", 404, ""},
	} {
		status, _, h := ask(t, newBrowser(t), c.method, ts.URL+c.path, "")
		if status != c.status || h.Get("Allow") != c.allow || h.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s %s = %d, Allow %q (%s), want %d, Allow %q, as a problem", c.method, c.path, status, h.Get("Allow"), h.Get("Content-Type"), c.status, c.allow)
		}
	}
}

func TestWebhooksAreKeptOnceAndThenAnswered(t *testing.T) {
	t.Parallel()
	box := &inbox{}
	url := hooked(t, box).URL
	ms := strconv.FormatInt(time.Now().UnixMilli(), 10)
	sent := []delivery{
		{source: "discord", key: "d", body: aLeave},
		{source: "discord", key: "d", body: aLeave, stamp: strconv.FormatInt(time.Now().Add(-10*time.Minute).Unix(), 10)},
		{source: "mill", key: "m", body: aFrame, stamp: ms},
		{source: "mill", key: "m", body: "[" + aFrame + "," + aFrame + "]"},
		{source: "mill", key: "m", body: aFrame + "\n" + aFrame + "\n", kind: "application/x-ndjson; charset=utf-8"},
	}
	for i, d := range sent {
		if d.stamp == "" {
			sent[i].stamp = strconv.FormatInt(time.Now().Unix(), 10)
		}
	}
	for range 3 { // What was sent again is answered like the first.
		for i, d := range sent {
			if got, text := d.send(t, url); got != 204 || text != "" {
				t.Errorf("delivery %d: %d %q, want 204", i, got, text)
			}
		}
	}
	if len(box.kept) != len(sent) {
		t.Errorf("%d rows, want %d", len(box.kept), len(sent))
	}
	if got := strings.Join(box.kept, " "); strings.Contains(got, "written") || !strings.Contains(got, `"5"`) {
		t.Errorf("kept is %s", got)
	}
}

// What cannot be kept is not taken: the sender tries again.
func TestAWebhookThatCannotBeKeptIsRefused(t *testing.T) {
	t.Parallel()
	for what, box := range map[string]*inbox{"an error": {err: errors.New("away")}, "no answer": {hang: true}} {
		if got, _ := (delivery{source: "discord", key: "d", body: aLeave}).send(t, hooked(t, box).URL); got != 503 {
			t.Errorf("%s: %d, want 503", what, got)
		}
	}
	ts := newWorld(t).serve(func(o *Options) {
		o.Webhooks = &WebhookOptions{Inbox: &inbox{}, DiscordKey: func(context.Context) (ed25519.PublicKey, error) { return nil, errors.New("away") }}
	})
	if got, _ := (delivery{source: "discord", key: "d", body: aPing}).send(t, ts.URL); got != 503 {
		t.Errorf("without a key: %d, want 503", got)
	}
}

// Deliveries that are being kept hold their places; one more is asked to come again, and leaves no row.
func TestTooManyWebhooksAtOnceAreRefused(t *testing.T) {
	t.Parallel()
	box := &slowInbox{came: make(chan struct{}, webhooksAtOnce), goOn: make(chan struct{})}
	s, err := New(Options{
		Store: newWorld(t), Access: newWorld(t), Live: newWorld(t), EncryptionKey: make([]byte, 32),
		Webhooks: &WebhookOptions{Inbox: box, DiscordKey: func(context.Context) (ed25519.PublicKey, error) { return public(keyOf("d")), nil }},
	})
	if err != nil {
		t.Fatal(err)
	}
	send := func(n int) int {
		stamp := strconv.FormatInt(time.Now().Unix(), 10)
		body := aLeave + strings.Repeat(" ", n)
		r := httptest.NewRequest("POST", "/webhooks/discord/discord", strings.NewReader(body))
		r.Header = http.Header{
			"X-Signature-Timestamp": {stamp}, "Content-Type": {"application/json"},
			"X-Signature-Ed25519": {hex.EncodeToString(ed25519.Sign(keyOf("d"), []byte(stamp+body)))},
		}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		return w.Code
	}
	var wg sync.WaitGroup
	for n := range webhooksAtOnce {
		wg.Go(func() {
			if got := send(n); got != 204 {
				t.Errorf("delivery %d: %d, want 204", n, got)
			}
		})
	}
	for range webhooksAtOnce {
		<-box.came
	}
	if got := send(webhooksAtOnce); got != 503 {
		t.Errorf("one too many: %d, want 503", got)
	}
	close(box.goOn)
	wg.Wait()
	if len(box.came) != 0 {
		t.Error("the one too many was kept")
	}
	if got := send(webhooksAtOnce); got != 204 {
		t.Errorf("once there is room again: %d, want 204", got)
	}
}

// slowInbox keeps deliveries when it is told to, however long that takes.
type slowInbox struct{ came, goOn chan struct{} }

func (i *slowInbox) KeepWebhook(context.Context, string, []byte, []byte, time.Duration) (bool, error) {
	i.came <- struct{}{}
	<-i.goOn
	return true, nil
}

// Whatever comes, only what is signed is kept, and the answer is one of those that are documented.
func FuzzWebhook(f *testing.F) {
	f.Add("discord", []byte(aLeave), "1700000000", "", "application/json", true)
	f.Add("mill", []byte(aFrame), "1700000000000", "00", "application/x-ndjson", true)
	f.Add("discord", []byte(aPing), "-1", strings.Repeat("ab", 64), "", false)
	box := &inbox{}
	s, err := New(Options{
		Store: newWorld(f), Access: newWorld(f), Live: newWorld(f), EncryptionKey: make([]byte, 32),
		Webhooks: &WebhookOptions{
			Inbox: box, Relays: []Relay{{Name: "mill", Key: public(keyOf("m"))}},
			DiscordKey: func(context.Context) (ed25519.PublicKey, error) { return public(keyOf("d")), nil },
		},
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, source string, body []byte, stamp, signature, kind string, sign bool) {
		if sign {
			stamp = strconv.FormatInt(time.Now().Unix(), 10)
			key := keyOf("m")
			if source == DiscordSource {
				key = keyOf("d")
			}
			signature = hex.EncodeToString(ed25519.Sign(key, append([]byte(stamp), body...)))
		}
		before := len(box.kept)
		r := httptest.NewRequest("POST", "/webhooks/discord/x", strings.NewReader(string(body)))
		r.SetPathValue("source", source)
		r.Header = http.Header{"X-Signature-Timestamp": {stamp}, "X-Signature-Ed25519": {signature}, "Content-Type": {kind}}
		w := httptest.NewRecorder()
		s.webhook(w, r)
		switch w.Code {
		case 204, 400, 401, 404, 413, 415:
		default:
			t.Errorf("answered %d", w.Code)
		}
		if kept := len(box.kept) > before; kept && (!sign || w.Code != 204) {
			t.Errorf("kept, signed %v, answered %d", sign, w.Code)
		}
	})
}
