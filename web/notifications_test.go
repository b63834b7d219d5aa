package web

import (
	"crypto/ecdh"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/jmoiron/sqlx"
	_ "github.com/lib/pq"
)

// notifications is what the person has chosen, as the API has it.
func (w *whole) notifications(header ...string) NotificationsBody {
	w.t.Helper()
	if len(header) == 0 {
		header = []string{"Authorization", "Bearer " + w.token}
	}
	var n NotificationsBody
	status, body, _ := ask(w.t, newBrowser(w.t), "GET", w.base+"/api/notifications", "", header...)
	if err := json.Unmarshal([]byte(body), &n); err != nil || status != 200 {
		w.t.Fatalf("GET /api/notifications = %d %s", status, body)
	}
	return n
}

// one reads a text out of the database.
func (w *whole) one(query string) (text string) {
	w.t.Helper()
	db, err := sqlx.Connect("postgres", w.database)
	if err != nil {
		w.t.Fatal(err)
	}
	defer db.Close()
	if err := db.Get(&text, query); err != nil {
		w.t.Fatal(err)
	}
	return text
}

func TestNotificationsAreChosen(t *testing.T) {
	t.Parallel()
	w := newWhole(t)
	if n := w.notifications(); n.Level != "mentions" || !n.Keywords || n.Quiet != nil || len(n.Levels) != 0 || len(n.Browsers) != 0 || len(n.PushKey) != 87 {
		t.Errorf("who has chosen nothing has %+v", n)
	}
	for _, tt := range []struct{ method, path, body, wrong string }{
		{"PUT", "", `{"level":"all","keywords":false,"quiet":{"from":"22:15","to":"07:00","zone":"Asia/Kolkata"}}`, ""},
		{"PUT", "/levels/CHANNEL", `{"level":"nothing"}`, ""},
		{"PUT", "/levels/GUILD", `{"level":"mentions"}`, ""},
		{"PUT", "", `{"level":"loud","keywords":true}`, "level"},
		{"PUT", "", `{"level":"all","keywords":true,"quiet":{"from":"25:00","to":"07:00","zone":"UTC"}}`, "from"},
		{"PUT", "", `{"level":"all","keywords":true,"quiet":{"from":"07:00","to":"07:00","zone":"UTC"}}`, "another time"},
		{"PUT", "", `{"level":"all","keywords":true,"quiet":{"from":"07:00","to":"08:00","zone":"Mars/Olympus"}}`, "time zone"},
		{"PUT", "/levels/4711", `{"level":"all"}`, "404"},
		{"PUT", "/levels/0", `{"level":"all"}`, "scope"},
		{"DELETE", "/levels/4711", ``, ""},
	} {
		path := strings.NewReplacer("CHANNEL", deck.String(), "GUILD", harbour.String()).Replace(tt.path)
		status, body := w.try(tt.method, "/api/notifications"+path, tt.body)
		if (status == 200) != (tt.wrong == "") || !strings.Contains(fmt.Sprint(status, body), tt.wrong) {
			t.Errorf("%s %s %s = %d %s, want %q", tt.method, path, tt.body, status, body, tt.wrong)
		}
	}
	n := w.notifications()
	if n.Level != "all" || n.Keywords || n.Quiet == nil || *n.Quiet != (QuietView{"22:15", "07:00", "Asia/Kolkata"}) || len(n.Levels) != 2 {
		t.Errorf("it was kept as %+v %+v", n, n.Quiet)
	}
	if status, body := w.try("DELETE", "/api/notifications/levels/"+deck.String(), ""); status != 200 {
		t.Errorf("DELETE a level = %d %s", status, body)
	}
	if n := w.notifications(); len(n.Levels) != 1 || n.Levels[0].Level != "mentions" {
		t.Errorf("what is left is %+v", n.Levels)
	}
	// Another process has the same key, and in the database the private one is not to be read.
	again, err := New(w.site.o)
	if err != nil {
		t.Fatal(err)
	}
	public, private, err := again.PushKeys(t.Context())
	if err != nil || public != n.PushKey {
		t.Errorf("another process has the key %s, %v, want %s", public, err, n.PushKey)
	}
	plain, err := base64.RawURLEncoding.DecodeString(private)
	if err != nil {
		t.Fatal(err)
	}
	if key, err := ecdh.P256().NewPrivateKey(plain); err != nil || base64.RawURLEncoding.EncodeToString(key.PublicKey().Bytes()) != public {
		t.Errorf("the keys are no pair: %v", err)
	}
	if sealed := w.one("SELECT encode(sealed, 'hex') FROM service_keys"); strings.Contains(sealed, fmt.Sprintf("%x", plain)) {
		t.Error("the private key lies open in the database")
	}
	// With another ENCRYPTION_KEY it is lost, and made anew.
	o := w.site.o
	o.EncryptionKey = []byte(strings.Repeat("y", 32))
	other, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	if fresh, _, err := other.PushKeys(t.Context()); err != nil || fresh == public {
		t.Errorf("after the key was lost it is %s, %v", fresh, err)
	}
}

func TestBrowsersAreToldWhileTheirSessionsStand(t *testing.T) {
	t.Parallel()
	w := newWhole(t)
	subscription := func(endpoint string, change ...string) string {
		key, err := ecdh.P256().GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		b64 := base64.RawURLEncoding.EncodeToString
		body := fmt.Sprintf(`{"endpoint":%q,"keys":{"p256dh":%q,"auth":%q},"words":true}`, endpoint, b64(key.PublicKey().Bytes()), b64([]byte("sixteen bytes ok")))
		return strings.NewReplacer(change...).Replace(body)
	}
	const far = "https://push.example/secret-"
	post := func(body string) (int, string) { return w.try("POST", "/api/notifications/browsers", body) }
	for _, tt := range []struct{ body, wrong string }{
		{subscription("http://push.example/x"), "https"}, {subscription("https://127.0.0.1/x"), "public internet"}, {subscription("https://10.0.0.1/x"), "public internet"},
		{subscription("https://localhost/x"), "public internet"}, {subscription("https://a:b@push.example/x"), "password"}, {subscription("nonsense"), "address"},
		{subscription(far, `"p256dh":"B`, `"p256dh":"C`), "p256dh"}, {subscription(far, "c2l4", ""), "auth"}, {subscription(far + strings.Repeat("x", 1000)), "endpoint"},
	} {
		if status, body := post(tt.body); status != 422 || !strings.Contains(body, tt.wrong) {
			t.Errorf("%.80s = %d %s, want %q", tt.body, status, body, tt.wrong)
		}
	}
	// One session has one browser.
	for range 2 {
		for _, n := range []string{"1", "2"} {
			if status, body := post(subscription(far + n)); status != 200 || !strings.Contains(body, `"current":true`) || strings.Contains(body, "secret") {
				t.Fatalf("a browser: %d %s", status, body)
			}
		}
	}
	n := w.notifications()
	if len(n.Browsers) != 1 || !n.Browsers[0].Words || n.Browsers[0].Agent == "" {
		t.Fatalf("the browsers are %+v", n.Browsers)
	}
	if got := w.one("SELECT row_to_json(p)::text FROM push_subscriptions p"); strings.Contains(got, "push.example") {
		t.Errorf("the address lies open in the database: %s", got)
	}
	// Another token of the same person: the same address moves to it, and ends with it.
	token, err := w.store.CreateToken(t.Context(), ada, "phone", []string{"read", "ack"})
	if err != nil {
		t.Fatal(err)
	}
	admin, err := w.store.CreateToken(t.Context(), ada, "admin", []string{"admin"})
	if err != nil {
		t.Fatal(err)
	}
	phone := []string{"Authorization", "Bearer " + token}
	if status, body, _ := ask(t, newBrowser(t), "POST", w.base+"/api/notifications/browsers", subscription(far+"3"), phone...); status != 200 {
		t.Fatalf("a browser of another token: %d %s", status, body)
	}
	if n := w.notifications(); len(n.Browsers) != 2 || !n.Browsers[0].Current || n.Browsers[1].Current {
		t.Errorf("of two, the browsers are %+v", n.Browsers)
	}
	tokens, err := w.store.Tokens(t.Context(), ada)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range tokens {
		if x.Name == "phone" {
			if status, body, _ := ask(t, newBrowser(t), "DELETE", w.base+fmt.Sprint("/api/tokens/", x.ID), "", "Authorization", "Bearer "+admin); status != 204 {
				t.Fatalf("DELETE a token = %d %s", status, body)
			}
		}
	}
	n = w.notifications()
	if len(n.Browsers) != 1 {
		t.Errorf("after the token was revoked the browsers are %+v", n.Browsers)
	}
	if status, _ := w.try("DELETE", fmt.Sprint("/api/notifications/browsers/", n.Browsers[0].ID), ""); status != 204 {
		t.Errorf("DELETE a browser = %d", status)
	}
	if n := w.notifications(); len(n.Browsers) != 0 {
		t.Errorf("the browsers are %+v", n.Browsers)
	}
}
