package sim_test

import (
	"bytes"
	"encoding/json"
	"io"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"
	"time"

	"tidings/sim"
)

func TestAttachmentsAreSignedAndExpire(t *testing.T) {
	t.Parallel()
	clock := newClock()
	s := newStage(t, sim.Options{Now: clock.now})
	upload := func(payload, name, contentType, data string) (int, O) {
		var b bytes.Buffer
		w := multipart.NewWriter(&b)
		w.WriteField("payload_json", payload)
		p, _ := w.CreatePart(map[string][]string{"Content-Disposition": {`form-data; name="files[0]"; filename="` + name + `"`}, "Content-Type": {contentType}})
		io.WriteString(p, data)
		w.Close()
		req, _ := http.NewRequest("POST", s.URL+"/api/v10/channels/"+s.ch+"/messages", &b)
		req.Header.Set("Content-Type", w.FormDataContentType())
		req.Header.Set("Authorization", s.ada.Token)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var m O
		json.NewDecoder(resp.Body).Decode(&m)
		return resp.StatusCode, m
	}
	get := func(url string) (int, string) {
		resp, err := http.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(b)
	}
	status, m := upload(`{"content":"look","attachments":[{"id":0,"description":"a note"}]}`, "note.txt", "text/plain", "hello")
	if status != 200 {
		t.Fatalf("upload = %d %v", status, m)
	}
	a := m["attachments"].([]any)[0].(map[string]any)
	url := a["url"].(string)
	if a["description"] != "a note" || a["size"] != 5.0 || !strings.Contains(url, "?ex=") {
		t.Errorf("attachment = %v", a)
	}
	if status, body := get(url); status != 200 || body != "hello" {
		t.Errorf("fresh address: %d %q", status, body)
	}
	if status, _ := get(strings.Split(url, "?")[0]); status != 404 {
		t.Errorf("without a signature: %d, want 404", status)
	}
	clock.advance(25 * time.Hour)
	if status, _ := get(url); status != 404 {
		t.Errorf("after a day: %d, want 404", status)
	}
	var again O
	s.Must(s.ada.Token, "GET", "/channels/"+s.ch+"/messages/"+m["id"].(string), nil, &again)
	if status, _ := get(again["attachments"].([]any)[0].(map[string]any)["url"].(string)); status != 200 {
		t.Errorf("the message fetched again gives an address that answers %d, want 200", status)
	}

	status, m = upload(`{"flags":8192,"attachments":[{"id":0,"filename":"voice-message.ogg","duration_secs":2.5,"waveform":"AAAA"}]}`, "voice-message.ogg", "audio/ogg", "....")
	if status != 200 || m["flags"] != 8192.0 || m["attachments"].([]any)[0].(map[string]any)["duration_secs"] != 2.5 {
		t.Errorf("voice message = %d %v", status, m)
	}
	if status, _ = upload(`{"flags":8192,"content":"no","attachments":[{"id":0}]}`, "a.ogg", "audio/ogg", "...."); status != 400 {
		t.Errorf("a voice message with text = %d, want 400", status)
	}
}

func TestSearchIsNotReadyAtOnce(t *testing.T) {
	t.Parallel()
	clock := newClock()
	s := newStage(t, sim.Options{Now: clock.now, SearchDelay: time.Minute})
	s.Say(s.bob, s.ch, "needle")
	path := "/guilds/" + s.g.ID + "/messages/search?content=needle"
	var notReady struct {
		Code       int
		RetryAfter int `json:"retry_after"`
	}
	if status := s.Do(s.BotToken(), "GET", path, nil, &notReady); status != 202 || notReady.Code != 110000 || notReady.RetryAfter < 1 {
		t.Errorf("search at once = %d %+v, want 202 110000", status, notReady)
	}
	clock.advance(2 * time.Minute)
	var found struct {
		Total int `json:"total_results"`
	}
	s.Must(s.BotToken(), "GET", path, nil, &found)
	if found.Total != 1 {
		t.Errorf("search later found %d, want 1", found.Total)
	}
}

func TestEditsWhoseTimeGoesBackwards(t *testing.T) {
	t.Parallel()
	s := newStage(t, sim.Options{})
	m := s.Say(s.bob, s.ch, "words")
	s.c.want("MESSAGE_CREATE")
	for _, edited := range []any{"2020-01-01T00:00:00Z", nil} {
		s.Sim200("POST", "/sim/messages", O{"channel": s.ch, "edit": m["id"], "embeds": []O{{"type": "link", "title": "t"}}, "edited_timestamp": edited}, nil)
		f := s.c.want("MESSAGE_UPDATE")
		got := f.get(t, "edited_timestamp")
		if edited == nil && got != nil || edited != nil && !strings.HasPrefix(got.(string), "2020-01-01") {
			t.Errorf("edited_timestamp = %v, want %v", got, edited)
		}
	}
	s.Sim200("POST", "/sim/messages", O{"channel": s.ch, "edit": m["id"], "delete": true, "quiet": true}, nil)
	s.Say(s.bob, s.ch, "next")
	if f := s.c.want("MESSAGE_CREATE"); f.get(t, "content") != "next" {
		t.Errorf("after a quiet delete: %s", f.D)
	}
	var truth []O
	s.Sim200("GET", "/sim/messages?channel="+s.ch, nil, &truth)
	if len(truth) != 2 || truth[0]["deleted"] != true || truth[1]["deleted"] != false {
		t.Errorf("truth = %v", truth)
	}
	var perms map[string]struct{ View, Read, History bool }
	s.Must(s.ada.Token, "PUT", "/channels/"+s.ch+"/permissions/"+s.bob.ID, O{"type": 1, "deny": "65536"}, nil)
	s.Sim200("GET", "/sim/permissions?user="+s.bob.ID, nil, &perms)
	if p := perms[s.ch]; !p.View || !p.Read || p.History {
		t.Errorf("permissions = %+v, want to see and read, without history", p)
	}
}
