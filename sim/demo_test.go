package sim_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tidings/sim"
	"tidings/sim/simtest"
)

func TestDemoWorldIsPopulatedAndTalks(t *testing.T) {
	t.Parallel()
	r := simtest.Start(t, sim.Options{World: "demo", Rand: 7, Pace: 5 * time.Millisecond})
	w := r.World()
	if len(w.Guilds) != 5 || len(w.Users) != 25 {
		t.Fatalf("%d guilds and %d people, want 5 and 25", len(w.Guilds), len(w.Users))
	}
	messages, posts := 0, 0
	for _, g := range w.Guilds {
		posts += len(g.Threads)
		for _, ch := range g.Channels {
			var list []json.RawMessage
			r.Sim200("GET", "/sim/messages?channel="+ch["id"].(string), nil, &list)
			messages += len(list)
		}
	}
	if messages < 600 || posts < 8 {
		t.Errorf("%d messages and %d threads, want a lively history", messages, posts)
	}
	c, _ := login(t, r, allIntents)
	for _, want := range []string{"MESSAGE_CREATE", "MESSAGE_REACTION_ADD", "MESSAGE_UPDATE", "MESSAGE_DELETE"} {
		c.want(want)
	}
}

func TestSecondStartKeepsTheWorld(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "sim", "world.json.gz")
	var before simtest.World
	t.Run("first", func(t *testing.T) {
		r := simtest.Start(t, sim.Options{World: "demo", Pace: -1, StatePath: path})
		r.Say(r.World().Users[0], r.World().Guilds[0].Channel("general"), "remember me")
		before = r.World()
	})
	r := simtest.Start(t, sim.Options{World: "demo", Pace: -1, StatePath: path})
	after := r.World()
	a, _ := json.Marshal(before)
	b, _ := json.Marshal(after)
	if string(a) != string(b) {
		t.Errorf("world changed over the restart")
	}
	var page []simtest.Object
	r.Must(r.BotToken(), "GET", "/channels/"+after.Guilds[0].Channel("general")+"/messages?limit=1", nil, &page)
	if len(page) != 1 || page[0]["content"] != "remember me" {
		t.Errorf("newest message = %v, want the one from before", page)
	}
}

func TestSignInWithCodeAndChallenge(t *testing.T) {
	t.Parallel()
	clock := newClock()
	r := simtest.Start(t, sim.Options{Now: clock.now})
	ada := r.Person("ada")
	r.Guild("Works", ada, nil, []string{"general"}, nil)
	const back = "http://127.0.0.1:1/callback"
	sum := sha256.Sum256([]byte("verifier"))
	q := url.Values{"response_type": {"code"}, "client_id": {r.Bot.ClientID.String()}, "scope": {"identify guilds"}, "state": {"xyz"}, "redirect_uri": {back},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"}}
	stay := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

	page, err := http.Get(r.URL + "/oauth2/authorize?" + q.Encode())
	if err != nil {
		t.Fatal(err)
	}
	html, _ := io.ReadAll(page.Body)
	page.Body.Close()
	if !strings.Contains(string(html), `name="user_id" value="`+ada.ID+`"`) {
		t.Errorf("the page has no button for ada")
	}

	authorize := func() string {
		f := url.Values{"user_id": {ada.ID}}
		for k := range q {
			f.Set(k, q.Get(k))
		}
		resp, err := stay.PostForm(r.URL+"/oauth2/authorize", f)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		u, err := resp.Location()
		if err != nil {
			t.Fatal(err)
		}
		if u.Query().Get("state") != "xyz" || !strings.HasPrefix(u.String(), back) {
			t.Errorf("sent back to %s", u)
		}
		return u.Query().Get("code")
	}
	type answer struct {
		Access  string `json:"access_token"`
		Refresh string `json:"refresh_token"`
		Error   string `json:"error"`
	}
	post := func(path string, f url.Values) (int, answer) {
		req, _ := http.NewRequest("POST", r.URL+path, strings.NewReader(f.Encode()))
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.SetBasicAuth(r.Bot.ClientID.String(), r.Bot.ClientSecret)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var a answer
		if err := json.NewDecoder(resp.Body).Decode(&a); err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, a
	}
	exchange := func(code, verifier string) (int, answer) {
		return post("/api/oauth2/token", url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {back}, "code_verifier": {verifier}})
	}

	if status, a := exchange(authorize(), "wrong"); status != 400 || a.Error != "invalid_grant" {
		t.Errorf("wrong verifier: %d %v, want 400 invalid_grant", status, a)
	}
	late := authorize()
	clock.advance(101 * time.Second)
	if status, _ := exchange(late, "verifier"); status != 400 {
		t.Errorf("code after 101 s: %d, want 400", status)
	}
	code := authorize()
	status, a := exchange(code, "verifier")
	if status != 200 || a.Access == "" {
		t.Fatalf("exchange = %d %v", status, a)
	}
	if status, _ := exchange(code, "verifier"); status != 400 {
		t.Errorf("code a second time: %d, want 400", status)
	}
	var me simtest.Object
	r.Must("Bearer "+a.Access, "GET", "/users/@me", nil, &me)
	if me["id"] != ada.ID {
		t.Errorf("users/@me = %v, want ada", me)
	}
	var guilds []simtest.Object
	r.Must("Bearer "+a.Access, "GET", "/users/@me/guilds", nil, &guilds)
	if len(guilds) != 1 {
		t.Errorf("guilds = %v, want one", guilds)
	}
	if got := r.Do("Bearer "+a.Access, "GET", "/users/@me/guilds/"+guilds[0]["id"].(string)+"/member", nil, nil); got != 403 {
		t.Errorf("a call without its scope = %d, want 403", got)
	}
	status, b := post("/api/v10/oauth2/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {a.Refresh}})
	if status != 200 || b.Refresh == a.Refresh {
		t.Errorf("refresh = %d, rotated %v", status, b.Refresh != a.Refresh)
	}
	if got := r.Do("Bearer "+a.Access, "GET", "/users/@me", nil, nil); got != 401 {
		t.Errorf("the old access token = %d, want 401", got)
	}
	if status, _ := post("/api/oauth2/token/revoke", url.Values{"token": {b.Refresh}}); status != 200 {
		t.Errorf("revoke = %d", status)
	}
	if got := r.Do("Bearer "+b.Access, "GET", "/users/@me", nil, nil); got != 401 {
		t.Errorf("after revoking, the access token = %d, want 401", got)
	}
}

// signIn authorizes the application as a person and gives the access token.
func signIn(t testing.TB, r *simtest.Running, p simtest.Person) string {
	t.Helper()
	const back = "http://127.0.0.1:1/callback"
	stay := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := stay.PostForm(r.URL+"/oauth2/authorize", url.Values{"response_type": {"code"}, "client_id": {r.Bot.ClientID.String()}, "scope": {"identify guilds"}, "redirect_uri": {back}, "user_id": {p.ID}})
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	u, err := resp.Location()
	if err != nil {
		t.Fatal(err)
	}
	resp, err = http.PostForm(r.URL+"/api/oauth2/token", url.Values{"grant_type": {"authorization_code"}, "code": {u.Query().Get("code")}, "redirect_uri": {back},
		"client_id": {r.Bot.ClientID.String()}, "client_secret": {r.Bot.ClientSecret}})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var a struct {
		Access string `json:"access_token"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&a); err != nil || a.Access == "" {
		t.Fatalf("no access token: %v", err)
	}
	return a.Access
}
