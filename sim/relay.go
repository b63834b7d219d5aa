package sim

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// delivery is one signed request to the application's event webhooks address.
type delivery struct {
	url  string
	body []byte
	bad  bool
}

// relayPatience is how long Discord waits for an answer; relayTries how often it sends an event, with growing pauses.
const (
	relayPatience = 3 * time.Second
	relayTries    = 6
)

// post sends a delivery and gives the status. The signature is over timestamp and body; a probe's is wrong.
func (s *Sim) post(ctx context.Context, d delivery) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, relayPatience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, d.url, bytes.NewReader(d.body))
	if err != nil {
		return 0, err
	}
	ts := strconv.FormatInt(s.now().Unix(), 10)
	s.mu.Lock()
	sig := ed25519.Sign(s.app.Key, append([]byte(ts), d.body...))
	s.mu.Unlock()
	if d.bad {
		sig[0] ^= 0xff
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "Discord-Webhook/1.0 (+https://discord.com)")
	req.Header.Set("X-Signature-Ed25519", hex.EncodeToString(sig))
	req.Header.Set("X-Signature-Timestamp", ts)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
	return resp.StatusCode, nil
}

// pingBody is the PING that an address must answer with 204.
func (s *Sim) pingBody() []byte {
	b, _ := json.Marshal(map[string]any{"version": 1, "application_id": s.app.ID, "type": 0})
	return b
}

// probe asks an address whether it checks signatures: a PING, and one with a wrong signature, which must get 401.
func (s *Sim) probe(ctx context.Context, url string, ping []byte) error {
	status, err := s.post(ctx, delivery{url: url, body: ping})
	if err != nil {
		return err
	}
	if status != http.StatusNoContent {
		return fmt.Errorf("PING was answered %d, not 204", status)
	}
	if status, err = s.post(ctx, delivery{url: url, body: ping, bad: true}); err != nil {
		return err
	}
	if status != http.StatusUnauthorized {
		return fmt.Errorf("a wrong signature was answered %d, not 401", status)
	}
	return nil
}

// patchApplication sets the event webhooks address and types. The address is probed before it is kept; that takes the
// network, so the call releases the world's lock while it waits.
func (c *call) patchApplication() (any, error) {
	if !c.user.Bot {
		return nil, errUnauthorized()
	}
	var in struct {
		Description opt[json.RawMessage] `json:"description"`
		URL         opt[string]          `json:"event_webhooks_url"`
		Status      opt[int]             `json:"event_webhooks_status"`
		Types       opt[[]string]        `json:"event_webhooks_types"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if in.URL.There() {
		ping := c.pingBody()
		c.mu.Unlock()
		err := c.probe(c.r.Context(), in.URL.V, ping)
		c.mu.Lock()
		if err != nil {
			return nil, badField("event_webhooks_url", "APPLICATION_EVENT_WEBHOOKS_URL_INVALID", "Validation failed: "+err.Error())
		}
	}
	a := c.app
	if in.URL.Set {
		a.EventsURL = in.URL.V
	}
	if in.Types.Set {
		a.EventsTypes = in.Types.V
	}
	a.EventsStatus = in.Status.Or(a.EventsStatus)
	c.dirty = true
	return c.wireApplication(), nil
}

// event sends an event to the address, if it is on and wants the type, again and again with growing pauses until it is
// taken. An address that never takes it is turned off.
func (s *Sim) event(t string, data any) {
	a := s.app
	if a.EventsURL == "" || a.EventsStatus != 2 || !slices.Contains(a.EventsTypes, t) {
		return
	}
	body, err := json.Marshal(map[string]any{"version": 1, "application_id": a.ID, "type": 1, "event": map[string]any{"type": t, "timestamp": Stamp{s.now()}, "data": data}})
	if err != nil {
		s.log.Error("webhook event cannot be encoded", "event", t, "err", err)
		return
	}
	d := delivery{url: a.EventsURL, body: body}
	pause := s.o.RetryPause
	s.start(func(ctx context.Context) {
		for range relayTries {
			status, err := s.post(ctx, d)
			if err == nil && status/100 == 2 {
				return
			}
			select {
			case <-ctx.Done():
				return
			case <-time.After(pause):
			}
			pause *= 2
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.app.EventsURL == d.url {
			s.app.EventsStatus = 3
			s.log.Warn("event webhooks turned off, the address does not take them")
		}
	})
}

// relayAuthorized sends APPLICATION_AUTHORIZED or APPLICATION_DEAUTHORIZED.
func (s *Sim) relayAuthorized(g *grant, granted bool) {
	u := s.users[g.UserID]
	if u == nil {
		return
	}
	if granted {
		s.event("APPLICATION_AUTHORIZED", map[string]any{"user": u.wire(), "scopes": g.Scopes, "integration_type": 1})
		return
	}
	s.event("APPLICATION_DEAUTHORIZED", map[string]any{"user": u.wire()})
}

// relay sends LOBBY_MESSAGE_* for messages of channels that are linked to a lobby.
func (s *Sim) relay(t string, m *Message) {
	lobby := s.app.LobbyChannels[m.ChannelID]
	if lobby == 0 {
		return
	}
	if t == "MESSAGE_DELETE" {
		s.event("LOBBY_MESSAGE_DELETE", map[string]ID{"id": m.ID, "lobby_id": lobby})
		return
	}
	d := map[string]any{
		"id": m.ID, "type": m.Type, "content": m.Content, "lobby_id": lobby, "channel_id": m.ChannelID, "author": s.author(m), "flags": m.Flags,
	}
	if t == "MESSAGE_UPDATE" {
		d["edited_timestamp"], d["timestamp"] = m.Edited, m.At
	}
	s.event("LOBBY_"+t, d)
}

// simLobby links a channel to a lobby, which on Discord takes a game; unlink with lobby null.
func (s *Sim) simLobby(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Channel ID      `json:"channel"`
		Lobby   opt[ID] `json:"lobby"`
	}
	if !readSim(w, r, &in) {
		return
	}
	s.under(w, func() (any, error) {
		if s.channels[in.Channel] == nil {
			return nil, noSuch("channel")
		}
		if s.app.LobbyChannels == nil {
			s.app.LobbyChannels = map[ID]ID{}
		}
		id := in.Lobby.V
		if !in.Lobby.Set {
			id = s.newID()
		}
		s.app.LobbyChannels[in.Channel] = id
		if id == 0 {
			delete(s.app.LobbyChannels, in.Channel)
		}
		s.dirty = true
		return map[string]ID{"channel": in.Channel, "lobby": id}, nil
	})
}

// simDeauthorize is a person removing the application in their settings, which on Discord only its client does.
func (s *Sim) simDeauthorize(w http.ResponseWriter, r *http.Request) {
	var in struct {
		User ID `json:"user"`
	}
	if !readSim(w, r, &in) {
		return
	}
	s.under(w, func() (any, error) {
		s.deauthorize(in.User)
		return nil, nil
	})
}

// simProbe sends the routine bad-signature probe to the event webhooks address, as Discord does now and then. An
// address that takes it is removed.
func (s *Sim) simProbe(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	url, ping := s.app.EventsURL, s.pingBody()
	s.mu.Unlock()
	err := s.probe(r.Context(), url, ping)
	out := map[string]any{"passed": err == nil}
	if err != nil {
		out["error"] = err.Error()
		s.mu.Lock()
		s.app.EventsURL, s.app.EventsStatus = "", 1
		s.mu.Unlock()
	}
	writeJSON(w, http.StatusOK, out)
}
