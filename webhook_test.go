package tidings_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"tidings"
)

func TestParseWebhook(t *testing.T) {
	t.Parallel()
	const message = `{"id":"5","channel_id":"6","guild_id":"7"}`
	for _, c := range []struct {
		what, body string
		official   bool
		want       string // the types, "!" for ErrInvalid
	}{
		{"Discord's PING", `{"version":1,"application_id":"1","type":0}`, true, ""},
		{"a deauthorization", `{"version":1,"application_id":"1","type":1,"event":{"type":"APPLICATION_DEAUTHORIZED","timestamp":"2026-08-01T10:00:00.123456","data":{"user":{"id":"3"}}}}`, true, "APPLICATION_DEAUTHORIZED"},
		{"an event of no interest", `{"version":1,"type":1,"event":{"type":"ENTITLEMENT_CREATE","data":{}}}`, true, ""},
		{"a type that is not known yet", `{"version":1,"type":1,"event":{"type":"NEW_IN_2030"}}`, true, ""},
		{"Discord never sends gateway events", `{"version":1,"type":1,"event":{"type":"MESSAGE_CREATE","data":` + message + `}}`, true, ""},
		{"nor frames", `{"op":0,"t":"MESSAGE_CREATE","s":1,"d":` + message + `}`, true, "!"},
		{"nor several", `{"version":1,"type":0}{"version":1,"type":0}`, true, "!"},
		{"a relay's envelope", `{"version":1,"type":1,"event":{"type":"MESSAGE_CREATE","timestamp":"2026-08-01T10:00:00Z","data":` + message + `}}`, false, "MESSAGE_CREATE"},
		{"a relay deauthorizes nobody", `{"version":1,"type":1,"event":{"type":"APPLICATION_DEAUTHORIZED","data":{"user":{"id":"3"}}}}`, false, ""},
		{"a frame", `{"op":0,"t":"MESSAGE_DELETE","s":9,"d":` + message + `}`, false, "MESSAGE_DELETE"},
		{"a heartbeat", `{"op":11}`, false, ""},
		{"an array", `[{"op":0,"t":"MESSAGE_CREATE","s":1,"d":` + message + `},{"op":0,"t":"TYPING_START","s":2,"d":{}},{"op":0,"t":"MESSAGE_UPDATE","s":3,"d":` + message + `}]`, false, "MESSAGE_CREATE MESSAGE_UPDATE"},
		{"lines", `{"op":0,"t":"MESSAGE_CREATE","s":1,"d":` + message + "}\n" + `{"op":0,"t":"MESSAGE_DELETE_BULK","s":2,"d":{"ids":["5"],"channel_id":"6"}}` + "\n", false, "MESSAGE_CREATE MESSAGE_DELETE_BULK"},
		{"no data", `{"op":0,"t":"MESSAGE_CREATE","s":1,"d":null}`, false, "!"},
		{"data of another kind", `{"op":0,"t":"MESSAGE_CREATE","s":1,"d":[1]}`, false, "!"},
		{"half a line", `{"op":0,"t":"MESSAGE_CREATE","s":1,"d":` + message + "}\n{\"op\":", false, "!"},
		{"nothing", ``, false, "!"}, {"an empty array", `[]`, false, "!"}, {"a number", `5`, false, "!"}, {"null", `null`, false, "!"},
		{"too many", "[" + strings.Repeat(`{"op":1},`, 1000) + `{"op":1}]`, false, "!"},
	} {
		w, err := tidings.ParseWebhook([]byte(c.body), c.official)
		var types []string
		for _, ev := range w.Events {
			types = append(types, ev.Type)
		}
		got := strings.Join(types, " ")
		if errors.Is(err, tidings.ErrInvalid) {
			got = "!"
		} else if err != nil {
			t.Errorf("%s: %v, want ErrInvalid or nothing", c.what, err)
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q (%v)", c.what, got, c.want, err)
		}
	}
}

// What somebody wrote may be deleted while a delivery waits, and nobody would look for it there.
func TestAWebhookIsKeptWithoutWords(t *testing.T) {
	t.Parallel()
	const words = `"content":"secret","author":{"id":"9","username":"secret"},"embeds":[{"title":"secret"}]`
	for _, c := range []struct {
		what, body string
		official   bool
		want       string
	}{
		{"a lobby's message", `{"version":1,"type":1,"event":{"type":"LOBBY_MESSAGE_UPDATE","timestamp":"2026-08-01T10:00:00Z","data":{"id":"5","channel_id":"6","lobby_id":"7","edited_timestamp":null,` + words + `}}}`, true,
			`LOBBY_MESSAGE_UPDATE 2026-08-01T10:00:00Z {"channel_id":"6","edited_timestamp":null,"id":"5","lobby_id":"7"};`},
		{"who has left", `{"version":1,"type":1,"event":{"type":"APPLICATION_DEAUTHORIZED","data":{"user":{"id":"3","username":"secret"}}}}`, true,
			`APPLICATION_DEAUTHORIZED 0001-01-01T00:00:00Z {"user":{"id":"3"}};`},
		{"frames", `[{"op":0,"t":"MESSAGE_CREATE","s":1,"d":{"id":"5","channel_id":"6",` + words + `}},{"op":0,"t":"MESSAGE_DELETE_BULK","s":2,"d":{"ids":["5","6"],"channel_id":"6"}}]`, false,
			`MESSAGE_CREATE 0001-01-01T00:00:00Z {"channel_id":"6","id":"5"};MESSAGE_DELETE_BULK 0001-01-01T00:00:00Z {"channel_id":"6","ids":["5","6"]};`},
	} {
		said, err := tidings.ParseWebhook([]byte(c.body), c.official)
		if err != nil {
			t.Fatal(err)
		}
		bare, err := said.Bare()
		if err != nil || strings.Contains(string(bare), "secret") {
			t.Errorf("%s: kept is %s, %v", c.what, bare, err)
		}
		again, err := tidings.ParseWebhook(bare, c.official)
		var got strings.Builder
		for _, ev := range again.Events {
			fmt.Fprintf(&got, "%s %s %s;", ev.Type, ev.At.Format(time.RFC3339), ev.Data)
		}
		if err != nil || got.String() != c.want {
			t.Errorf("%s: %s, want %s (%v)", c.what, &got, c.want, err)
		}
	}
}

func FuzzParseWebhook(f *testing.F) {
	f.Add([]byte(`{"version":1,"type":1,"event":{"type":"APPLICATION_DEAUTHORIZED","timestamp":"2026-08-01T10:00:00Z","data":{"user":{"id":"3"}}}}`), true)
	f.Add([]byte(`[{"op":0,"t":"MESSAGE_CREATE","s":1,"d":{"id":"5"}}]`), false)
	f.Add([]byte("{\"op\":0,\"t\":\"MESSAGE_DELETE\",\"d\":{}}\n{\"op\":1}"), false)
	f.Fuzz(func(t *testing.T, body []byte, official bool) {
		w, err := tidings.ParseWebhook(body, official)
		if err != nil && (!errors.Is(err, tidings.ErrInvalid) || len(w.Events) > 0) {
			t.Errorf("ParseWebhook() = %d events, %v; want ErrInvalid and none", len(w.Events), err)
		}
		for _, ev := range w.Events {
			if ev.Type == "" || len(ev.Data) == 0 {
				t.Errorf("an event without type or data: %+v", ev)
			}
		}
		if err != nil || len(w.Events) == 0 {
			return
		}
		bare, err := w.Bare()
		if err != nil {
			t.Fatalf("Bare() = %v", err)
		}
		if again, err := tidings.ParseWebhook(bare, official); err != nil || len(again.Events) != len(w.Events) {
			t.Errorf("what is kept has %d events, %v, want %d", len(again.Events), err, len(w.Events))
		}
	})
}
