package bot

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
)

// asking returns the REST half of a bot against a fake.
func asking(t *testing.T, f *fake, m *memory) *REST {
	t.Helper()
	b, err := New(Options{Token: "secret", URL: f.URL, Sessions: m, HTTP: client(t)})
	if err != nil {
		t.Fatal(err)
	}
	b.rest.transport.retry = time.Millisecond
	return b.rest
}

// inTurn answers one handler after the other, and the last one for ever.
func inTurn(hs ...http.HandlerFunc) http.HandlerFunc {
	var n atomic.Int32
	return func(w http.ResponseWriter, r *http.Request) {
		hs[min(int(n.Add(1))-1, len(hs)-1)](w, r)
	}
}

func limited(header map[string]string, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for k, v := range header {
			w.Header().Set(k, v)
		}
		w.WriteHeader(429)
		fmt.Fprint(w, body)
	}
}

func page(lines ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { reply(w, 200, "["+strings.Join(lines, ",")+"]") }
}

func TestMessagesOfAPageComeNewestFirstWithTheirBytes(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	var got *http.Request
	f.on("GET /channels/9/messages", func(w http.ResponseWriter, r *http.Request) {
		got = r
		page(message9(102), message9(101), message9(100))(w, r)
	})
	ms, err := asking(t, f, newMemory()).Messages(t.Context(), 9, PageQuery{After: 99, Limit: 50, Guild: 7})
	if err != nil {
		t.Fatal(err)
	}
	if len(ms) != 3 || ms[0].ID != 102 || ms[2].ID != 100 || string(ms[1].Payload) != message9(101) || ms[0].Guild != 7 {
		t.Errorf("Messages() = %+v, want 102, 101, 100 of guild 7 with their bytes", ms)
	}
	if q := got.URL.Query(); q.Get("after") != "99" || q.Get("limit") != "50" || len(q) != 2 {
		t.Errorf("asked with %v, want after=99 and limit=50", q)
	}
	if a := got.Header.Get("Authorization"); a != "Bot secret" {
		t.Errorf("Authorization %q, want the bot's", a)
	}
	if u := got.Header.Get("User-Agent"); !strings.HasPrefix(u, "DiscordBot (https://") {
		t.Errorf("User-Agent %q, want one as Discord asks for", u)
	}
}

func TestOneBadMessageDoesNotFailItsPage(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.on("GET /channels/9/messages", page(message9(102),
		`{"id":"101","channel_id":"9","content":5}`,         // Nobody has written it.
		`{"id":"100","channel_id":"8","author":{"id":"5"}}`, // It is of another channel.
		message9(99), `null`, `{"id":[],"channel_id":"9","author":{"id":"5"}}`,
		strings.Replace(message9(90), `"type":0`, `"type":0,"nonce":5,"components":[{"type":17}]`, 1),
		`{"id":"89","channel_id":"9","author":{"id":"5"},"type":"odd","flags":-1,"content":"still here","edited_timestamp":"yesterday","mentions":[{"id":"6"},7],"embeds":5,"attachments":{}}`,
		`{}`))
	p, err := asking(t, f, newMemory()).Page(t.Context(), 9, PageQuery{Guild: 7})
	if err != nil {
		t.Fatal(err)
	}
	var ids []discord.MessageID
	for _, m := range p.Messages {
		ids = append(ids, m.ID)
	}
	if want := []discord.MessageID{102, 99, 90, 89}; !slices.Equal(ids, want) {
		t.Errorf("messages %v, want %v", ids, want)
	}
	odd := p.Messages[len(p.Messages)-1]
	if odd.Content != "still here" || odd.Author != 5 || !slices.Equal(odd.Mentions.Users, []discord.UserID{6}) || !strings.Contains(string(odd.Payload), "yesterday") {
		t.Errorf("the odd message is %+v, want what can be read of it, and its bytes", odd)
	}
	if want := []tidings.IDRange{{After: 100, To: 101}, {After: 99, To: 100}, {After: 90, To: 98}, {After: 0, To: 88}}; !slices.Equal(p.Unclear, want) {
		t.Errorf("unclear are %v, want %v", p.Unclear, want)
	}
}

func TestRateLimitsAreWaitedFor(t *testing.T) {
	t.Parallel()
	for what, no := range map[string]http.HandlerFunc{
		"fractional header":         limited(map[string]string{"Retry-After": "0.12"}, `{"message":"x","global":false}`),
		"fractional body":           limited(nil, `{"message":"x","retry_after":0.12,"global":false}`),
		"both, the longer one":      limited(map[string]string{"Retry-After": "0"}, `{"message":"x","retry_after":0.12}`),
		"global":                    limited(map[string]string{"X-RateLimit-Global": "true"}, `{"message":"x","retry_after":0.12,"global":true}`),
		"shared, with room left":    limited(map[string]string{"X-RateLimit-Scope": "shared", "X-RateLimit-Limit": "10", "X-RateLimit-Remaining": "9", "X-RateLimit-Reset-After": "0.01", "X-RateLimit-Bucket": "b", "Retry-After": "0.12"}, `{"message":"x","retry_after":0.12}`),
		"header that promises more": limited(map[string]string{"X-RateLimit-Limit": "1000", "X-RateLimit-Remaining": "999", "X-RateLimit-Reset-After": "0.12", "X-RateLimit-Bucket": "b"}, `{"message":"x","retry_after":0.12}`),
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			var at []time.Time
			var mu sync.Mutex
			next := inTurn(no, page())
			f.on("GET /channels/9/messages", func(w http.ResponseWriter, r *http.Request) {
				mu.Lock()
				at = append(at, time.Now())
				mu.Unlock()
				next(w, r)
			})
			if _, err := asking(t, f, newMemory()).Messages(t.Context(), 9, PageQuery{}); err != nil {
				t.Fatal(err)
			}
			if len(at) != 2 || at[1].Sub(at[0]) < 120*time.Millisecond {
				t.Errorf("asked at %v, want twice and at least 120 ms between", at)
			}
		})
	}
}

func TestALongRateLimitIsToldInsteadOfWaitedFor(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.on("GET /channels/9/messages", limited(map[string]string{"X-RateLimit-Scope": "shared", "X-RateLimit-Remaining": "9", "X-RateLimit-Limit": "10"}, `{"message":"x","retry_after":1337}`))
	r := asking(t, f, newMemory())
	for range 5 {
		_, err := r.Messages(t.Context(), 9, PageQuery{})
		var limit *LimitError
		if !errors.Is(err, tidings.ErrUnavailable) || !errors.As(err, &limit) || limit.After < 1330*time.Second {
			t.Errorf("Messages() = %v, want ErrUnavailable and when to come back", err)
		}
	}
	if n := f.count("GET /channels/9/messages"); n != 1 {
		t.Errorf("asked %d times, want once", n)
	}
}

func TestCloudflareStopsEverything(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.on("GET /channels/9/messages", limited(map[string]string{"Retry-After": "600", "Content-Type": "text/plain"}, "error code: 1015"))
	r := asking(t, f, newMemory())
	if _, err := r.Messages(t.Context(), 9, PageQuery{}); !errors.Is(err, tidings.ErrUnavailable) {
		t.Errorf("Messages() = %v, want ErrUnavailable", err)
	}
	if _, err := r.User(t.Context(), 3); !errors.Is(err, tidings.ErrUnavailable) {
		t.Errorf("User() = %v, want ErrUnavailable", err)
	}
	if n := f.count("GET /channels/9/messages") + f.count("GET /users/3"); n != 1 {
		t.Errorf("%d requests, want one", n)
	}
}

func TestAnswersOfCloudflareWithoutATimeAreWaitedOutLongerAndLonger(t *testing.T) {
	t.Parallel()
	tr := &transport{}
	last := time.Duration(0)
	for range 6 {
		resp := &http.Response{StatusCode: 429, Header: http.Header{}, Body: http.NoBody}
		a := tr.answer(resp)
		if !a.Global || a.RetryAfter <= last {
			t.Errorf("answer() = %+v, want a global pause above %s", a, last)
		}
		last = a.RetryAfter
	}
}

func TestServerFaultsAreTriedAgain(t *testing.T) {
	t.Parallel()
	for _, status := range []int{500, 502, 503, 504, 520, 522} {
		f := newFake(t)
		no := func(w http.ResponseWriter, _ *http.Request) { reply(w, status, "<html>") }
		f.on("GET /channels/9/messages", inTurn(no, no, page(message9(100))))
		ms, err := asking(t, f, newMemory()).Messages(t.Context(), 9, PageQuery{})
		if err != nil || len(ms) != 1 {
			t.Errorf("after two answers of %d: %v, %v, want a message", status, ms, err)
		}
	}
}

func TestAServerThatStaysAwayIsUnavailable(t *testing.T) {
	t.Parallel()
	for what, h := range map[string]http.HandlerFunc{
		"503": func(w http.ResponseWriter, _ *http.Request) { reply(w, 503, "upstream connect error") },
		"a cut answer": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			fmt.Fprint(w, `[{`)
		},
		"no JSON":       func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `<html>`) },
		"a hang-up":     func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"another shape": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"a":1}`) },
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			f.on("GET /channels/9/messages", h)
			_, err := asking(t, f, newMemory()).Messages(t.Context(), 9, PageQuery{})
			if !errors.Is(err, tidings.ErrUnavailable) {
				t.Errorf("Messages() = %v, want ErrUnavailable", err)
			}
			if n := f.count("GET /channels/9/messages"); n > maxTries {
				t.Errorf("asked %d times, want at most %d", n, maxTries)
			}
		})
	}
}

func TestARefusedTokenIsNeverAskedWithAgain(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.answer("GET /channels/9/messages", 401, `{"message":"401: Unauthorized","code":0}`)
	r := asking(t, f, newMemory())
	for range 10 {
		if _, err := r.Messages(t.Context(), 9, PageQuery{}); !errors.Is(err, tidings.ErrUnauthorized) {
			t.Errorf("Messages() = %v, want ErrUnauthorized", err)
		}
		if _, err := r.GatewayInfo(t.Context()); !errors.Is(err, tidings.ErrUnauthorized) {
			t.Errorf("GatewayInfo() = %v, want ErrUnauthorized", err)
		}
	}
	if n := f.count("GET /channels/9/messages") + f.count("GET /gateway/bot"); n != 1 {
		t.Errorf("%d requests, want one", n)
	}
}

func TestRefusalsSayWhatTheyAre(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	r := asking(t, f, newMemory())
	for i, c := range []struct {
		status, code int
		want         error
	}{
		{403, 50001, tidings.ErrForbidden}, {404, 10008, tidings.ErrNotFound}, {400, 50035, tidings.ErrInvalid},
	} {
		channel := discord.ChannelID(9 + i)
		f.answer("GET /channels/"+channel.String()+"/messages/100", c.status, fmt.Sprintf(`{"message":"m","code":%d,"errors":{"x":{"_errors":[{"code":"A","message":"b"}]}}}`, c.code))
		_, err := r.Message(t.Context(), channel, 100)
		if !errors.Is(err, c.want) || Code(err) != c.code {
			t.Errorf("Message() = %v with code %d, want %v with %d", err, Code(err), c.want, c.code)
		}
	}
	if _, err := r.Member(t.Context(), 7, 3); !errors.Is(err, tidings.ErrNotFound) {
		t.Errorf("Member() = %v, want ErrNotFound", err)
	}
}

func TestManyRefusalsStopRequestsLongBeforeDiscordWould(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_700_000_000, 0)
	c := &invalidCount{now: func() time.Time { return now }}
	for range invalidBrake {
		if c.wait() != 0 {
			t.Fatal("stopped too early")
		}
		c.add()
	}
	wait := c.wait()
	if wait <= 0 || wait > 10*time.Minute {
		t.Fatalf("wait() = %s, want up to ten minutes", wait)
	}
	now = now.Add(wait)
	if c.wait() != 0 {
		t.Error("still stopped after the wait")
	}
}

func TestTheBrakeHoldsRequests(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.answer("GET /users/3", 403, `{"message":"no","code":50001}`)
	r := asking(t, f, newMemory())
	for range invalidBrake - 1 {
		r.transport.invalid.add()
	}
	for range 3 {
		if _, err := r.User(t.Context(), 3); err == nil {
			t.Error("User() = nil, want an error")
		}
	}
	if n := f.count("GET /users/3"); n != 1 {
		t.Errorf("%d requests, want one", n)
	}
}

// limits5 is a server that allows five requests per window and channel and counts those that come too early.
type limits5 struct {
	mu     sync.Mutex
	used   map[string]int
	until  map[string]time.Time
	lies   bool
	early  int
	window time.Duration
}

func (l *limits5) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now, path := time.Now(), r.URL.Path
	if !now.Before(l.until[path]) {
		l.used[path], l.until[path] = 0, now.Add(l.window)
	}
	h := w.Header()
	h.Set("X-RateLimit-Bucket", "messages")
	reset := l.until[path].Sub(now)
	h.Set("X-RateLimit-Reset-After", strconv.FormatFloat(reset.Seconds(), 'f', 3, 64))
	if l.used[path] >= 5 {
		l.early++
		h.Set("X-RateLimit-Limit", "5")
		h.Set("X-RateLimit-Remaining", "0")
		reply(w, 429, fmt.Sprintf(`{"message":"slow down","retry_after":%.3f,"global":false}`, reset.Seconds()))
		return
	}
	l.used[path]++
	h.Set("X-RateLimit-Limit", "5")
	h.Set("X-RateLimit-Remaining", strconv.Itoa(5-l.used[path]))
	if l.lies {
		h.Set("X-RateLimit-Limit", "1000")
		h.Set("X-RateLimit-Remaining", "999")
	}
	reply(w, 200, "[]")
}

func TestBucketsAreKeptPerChannel(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	l := &limits5{used: map[string]int{}, until: map[string]time.Time{}, window: 300 * time.Millisecond}
	for c := range 3 {
		f.on(fmt.Sprintf("GET /channels/%d/messages", c+1), l.ServeHTTP)
	}
	r := asking(t, f, newMemory())
	var wg sync.WaitGroup
	for c := range 3 {
		for range 8 {
			wg.Go(func() {
				if _, err := r.Messages(t.Context(), discord.ChannelID(c+1), PageQuery{}); err != nil {
					t.Errorf("Messages() = %v", err)
				}
			})
		}
	}
	wg.Wait()
	if l.early != 0 {
		t.Errorf("%d requests came too early, want none", l.early)
	}
}

func TestHeadersThatLieAreSurvived(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	l := &limits5{used: map[string]int{}, until: map[string]time.Time{}, window: 200 * time.Millisecond, lies: true}
	f.on("GET /channels/9/messages", l.ServeHTTP)
	r := asking(t, f, newMemory())
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if _, err := r.Messages(t.Context(), 9, PageQuery{}); err != nil {
				t.Errorf("Messages() = %v", err)
			}
		})
	}
	wg.Wait()
	if l.early > 40 {
		t.Errorf("%d requests came too early", l.early)
	}
	t.Logf("%d of 20 came too early", l.early)
}

func TestAWaiterWhoGivesUpHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	began, release := make(chan struct{}), make(chan struct{})
	first := func(w http.ResponseWriter, r *http.Request) {
		close(began)
		<-release
		page()(w, r)
	}
	f.on("GET /channels/9/messages", inTurn(first, page(message9(100))))
	r := asking(t, f, newMemory())
	var wg sync.WaitGroup
	wg.Go(func() { r.Messages(t.Context(), 9, PageQuery{}) })
	<-began
	ctx, cancel := context.WithCancel(t.Context())
	wg.Go(func() { // It stands in line behind the first.
		if _, err := r.Messages(ctx, 9, PageQuery{}); !errors.Is(err, context.Canceled) {
			t.Errorf("Messages() = %v, want Canceled", err)
		}
	})
	cancel()
	close(release)
	wg.Wait()
	if ms, err := r.Messages(t.Context(), 9, PageQuery{}); err != nil || len(ms) != 1 {
		t.Errorf("Messages() = %v, %v, want a message", ms, err)
	}
}

func TestARouteIsKnownByMethodPathAndMajorID(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]Route{
		"/channels/12/messages":         {Method: "GET", Path: "/channels/:major/messages", Major: "channels/12"},
		"/channels/12/messages/34":      {Method: "GET", Path: "/channels/:major/messages/:id", Major: "channels/12"},
		"/guilds/5/members/6":           {Method: "GET", Path: "/guilds/:major/members/:id", Major: "guilds/5"},
		"/users/6":                      {Method: "GET", Path: "/users/:id", Major: ""},
		"/users/@me/guilds/5/member":    {Method: "GET", Path: "/users/@me/guilds/:id/member", Major: ""},
		"/channels/1/threads/archived/": {Method: "GET", Path: "/channels/:major/threads/archived", Major: "channels/1"},
	} {
		if got := routeOf("GET", path); got != want {
			t.Errorf("routeOf(%s) = %+v, want %+v", path, got, want)
		}
	}
}

func TestAGuildIsReadOverREST(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.answer("GET /guilds/7", 200, `{"id":"7","name":"G","owner_id":"3","roles":[{"id":"7","name":"@everyone","permissions":"1024"}]}`)
	f.answer("GET /guilds/7/channels", 200, `[{"id":"9","type":0,"name":"general","guild_id":"7","last_message_id":"50"},{"id":"8","type":"?"}]`)
	f.answer("GET /guilds/7/threads/active", 200, `{"threads":[{"id":"10","type":11,"parent_id":"9","name":"t","guild_id":"7"}],"members":[]}`)
	f.answer("GET /guilds/7/members/3", 200, `{"user":{"id":"3","username":"u"},"roles":["20"],"nick":null,"flags":0}`)
	f.answer("GET /guilds/7/roles", 200, `[{"id":"7","name":"@everyone","permissions":"1024"}]`)
	f.answer("GET /channels/9", 200, `{"id":"9","type":0,"name":"general","guild_id":"7"}`)
	r := asking(t, f, newMemory())
	seen, err := r.GuildSeen(t.Context(), 7)
	want := tidings.GuildSeen{
		Guild: tidings.Guild{ID: 7, Name: "G", Owner: 3, Available: true},
		Roles: []tidings.Role{{Guild: 7, ID: 7, Name: "@everyone", Permissions: 1024}},
		Channels: []tidings.Channel{
			{ID: 9, Guild: 7, Name: "general", LastMessage: 50}, {ID: 8, Guild: 7, Type: tidings.ChannelUnknown},
		},
		Threads: []tidings.Channel{{ID: 10, Guild: 7, Type: 11, Parent: 9, Name: "t"}},
	}
	if err != nil || !reflect.DeepEqual(seen, want) {
		t.Errorf("GuildSeen() = %+v, %v, want %+v", seen, err, want)
	}
	m, err := r.Member(t.Context(), 7, 3)
	if err != nil || !reflect.DeepEqual(*m, tidings.Member{Guild: 7, User: 3, Roles: []discord.RoleID{20}}) {
		t.Errorf("Member() = %+v, %v", m, err)
	}
	if roles, err := r.Roles(t.Context(), 7); err != nil || !reflect.DeepEqual(roles, want.Roles) {
		t.Errorf("Roles() = %+v, %v", roles, err)
	}
	if c, err := r.Channel(t.Context(), 9); err != nil || c.Guild != 7 || c.Name != "general" {
		t.Errorf("Channel() = %+v, %v", c, err)
	}
}

func TestArchivedThreadsArePagedToTheEnd(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.on("GET /channels/9/threads/archived/public", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("before") == "" {
			reply(w, 200, `{"threads":[{"id":"12","type":11,"parent_id":"9","thread_metadata":{"archived":true,"archive_timestamp":"2026-01-02T00:00:00+00:00"}}],"has_more":true}`)
			return
		}
		if at := r.URL.Query().Get("before"); at != "2026-01-02T00:00:00Z" {
			t.Errorf("before %q, want when the last one was archived", at)
		}
		reply(w, 200, `{"threads":[{"id":"11","type":11,"parent_id":"9","thread_metadata":{"archived":true,"archive_timestamp":"2026-01-01T00:00:00+00:00"}}],"has_more":false}`)
	})
	r := asking(t, f, newMemory())
	var got []discord.ChannelID
	for before := ""; ; {
		threads, next, err := r.ArchivedThreads(t.Context(), 9, ArchivedPublic, before)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range threads {
			got = append(got, c.ID)
		}
		if next == "" {
			break
		}
		before = next
	}
	if !reflect.DeepEqual(got, []discord.ChannelID{12, 11}) {
		t.Errorf("threads %v, want 12 and 11", got)
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add(429, "1.5", "0.2", "5", "0", `{"retry_after":1.2,"global":true}`)
	f.Add(429, "NaN", "-1", "x", "-3", "error code: 1015")
	f.Add(429, "1e999", "Inf", "99999999999999999999", "1", `{"retry_after":"soon"}`)
	f.Fuzz(func(t *testing.T, status int, after, reset, limit, left, body string) {
		tr := &transport{}
		resp := &http.Response{StatusCode: status, Header: http.Header{}, Body: http.NoBody}
		resp.Header.Set("Retry-After", after)
		resp.Header.Set("X-RateLimit-Reset-After", reset)
		resp.Header.Set("X-RateLimit-Limit", limit)
		resp.Header.Set("X-RateLimit-Remaining", left)
		resp.Body = readCloser{strings.NewReader(body)}
		a := tr.answer(resp)
		if status == 429 && (a.RetryAfter <= 0 || a.RetryAfter > maxRetryAfter+time.Second) || a.ResetAfter < 0 || a.Limit < 0 || a.Remaining < -1 {
			t.Errorf("answer() = %+v", a)
		}
		l := NewLimiter()
		r := Route{Method: "GET", Path: "/x"}
		ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
		defer cancel()
		if release, err := l.Acquire(context.Background(), r); err == nil {
			release(a)
		}
		if _, err := l.Acquire(ctx, r); err == nil && a.RetryAfter > 100*time.Millisecond {
			t.Errorf("a request goes out %s early", a.RetryAfter)
		}
	})
}

type readCloser struct{ *strings.Reader }

func (readCloser) Close() error { return nil }

// Discord's clock is read from its answers; what the whole seconds of the header leave open is no difference.
func TestTheTimeIsDiscords(t *testing.T) {
	t.Parallel()
	for name, ahead := range map[string]time.Duration{"the same": 0, "two hours ahead": 2 * time.Hour, "two hours behind": -2 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			f.on("GET /users/@me", func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Date", time.Now().Add(ahead).UTC().Format(http.TimeFormat))
				fmt.Fprint(w, `{"id":"5","username":"bot"}`)
			})
			r := asking(t, f, newMemory())
			if _, err := r.Me(t.Context()); err != nil {
				t.Fatal(err)
			}
			if d := time.Until(r.Now()) - ahead; d.Abs() > 2*time.Second {
				t.Errorf("Now() is off by %v", d)
			}
		})
	}
}
