package tidings

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// WebhookEvent is one event of a delivery to the webhook address. Its data is what somebody says, not what is so.
type WebhookEvent struct {
	Type string    // such as MESSAGE_CREATE or APPLICATION_DEAUTHORIZED
	At   time.Time // when it happened, zero when not said
	Data json.RawMessage
}

// Webhook is one delivery to the webhook address. Without events it is a PING, or about nothing of interest.
type Webhook struct{ Events []WebhookEvent }

// maxWebhookEvents bounds one delivery.
const maxWebhookEvents = 1000

// officialWebhooks are the webhook events of Discord's that mean something here, and relayedWebhooks the gateway events that a
// relay may send. Source: discord.com/developers/docs/events/webhook-events#event-types.
var (
	officialWebhooks = map[string]bool{
		"APPLICATION_DEAUTHORIZED": true, "LOBBY_MESSAGE_CREATE": true, "LOBBY_MESSAGE_UPDATE": true, "LOBBY_MESSAGE_DELETE": true,
	}
	relayedWebhooks = map[string]bool{
		"MESSAGE_CREATE": true, "MESSAGE_UPDATE": true, "MESSAGE_DELETE": true, "MESSAGE_DELETE_BULK": true,
	}
)

// ParseWebhook reads the body of a delivery: Discord's envelope {version, type, event:{type, timestamp, data}}, and from a relay
// also envelopes that name gateway events and the gateway's own frames {op, t, s, d}, each alone, in an array, or one after
// another (NDJSON). Events that mean nothing here are left out. What cannot be read is [ErrInvalid].
func ParseWebhook(body []byte, official bool) (Webhook, error) {
	objects, err := webhookObjects(body)
	if err != nil {
		return Webhook{}, fmt.Errorf("%w webhook: %w", ErrInvalid, err)
	}
	if official && len(objects) != 1 {
		return Webhook{}, fmt.Errorf("%w webhook: %d objects instead of one", ErrInvalid, len(objects))
	}
	var w Webhook
	for _, raw := range objects {
		ev, err := webhookEvent(raw, official)
		if err != nil {
			return Webhook{}, fmt.Errorf("%w webhook: %w", ErrInvalid, err)
		}
		if official && officialWebhooks[ev.Type] || !official && relayedWebhooks[ev.Type] {
			w.Events = append(w.Events, ev)
		}
	}
	return w, nil
}

// aboutFields say what an event is about. Nothing else of its data is used, least of all what somebody wrote.
var aboutFields = []string{"id", "ids", "channel_id", "lobby_id", "edited_timestamp"}

// Bare is the delivery as it is kept: what its events are about, in Discord's envelopes, which [ParseWebhook] reads.
func (w Webhook) Bare() ([]byte, error) {
	var b bytes.Buffer
	for _, ev := range w.Events {
		var data map[string]json.RawMessage
		if err := json.Unmarshal(ev.Data, &data); err != nil {
			return nil, fmt.Errorf("%w webhook: %w", ErrInvalid, err)
		}
		about := map[string]any{}
		for _, field := range aboutFields {
			if raw, there := data[field]; there {
				about[field] = raw
			}
		}
		var user map[string]json.RawMessage
		if json.Unmarshal(data["user"], &user) == nil && user["id"] != nil {
			about["user"] = map[string]any{"id": user["id"]}
		}
		event := map[string]any{"type": ev.Type, "data": about}
		if !ev.At.IsZero() {
			event["timestamp"] = ev.At.Format(time.RFC3339Nano)
		}
		if err := json.NewEncoder(&b).Encode(map[string]any{"type": 1, "event": event}); err != nil {
			return nil, fmt.Errorf("%w webhook: %w", ErrInvalid, err)
		}
	}
	return b.Bytes(), nil
}

var errNotJSON = errors.New("not JSON")

// webhookObjects splits a body into its objects.
func webhookObjects(body []byte) (objects []json.RawMessage, err error) {
	if trimmed := bytes.TrimLeft(body, " \t\r\n"); len(trimmed) > 0 && trimmed[0] == '[' {
		if json.Unmarshal(body, &objects) != nil {
			return nil, errNotJSON
		}
	} else {
		for d := json.NewDecoder(bytes.NewReader(body)); ; {
			var raw json.RawMessage
			err := d.Decode(&raw)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return nil, errNotJSON
			}
			if objects = append(objects, raw); len(objects) > maxWebhookEvents {
				break
			}
		}
	}
	switch {
	case len(objects) == 0:
		return nil, errors.New("nothing in it")
	case len(objects) > maxWebhookEvents:
		return nil, fmt.Errorf("more than %d events", maxWebhookEvents)
	}
	return objects, nil
}

// webhookEvent reads one object. A PING, and a frame that is no dispatch, is an event without a type.
func webhookEvent(raw []byte, official bool) (WebhookEvent, error) {
	var w struct {
		Op    *int            `json:"op"`
		T     string          `json:"t"`
		D     json.RawMessage `json:"d"`
		Type  *int            `json:"type"`
		Event *struct {
			Type      string          `json:"type"`
			Timestamp string          `json:"timestamp"`
			Data      json.RawMessage `json:"data"`
		} `json:"event"`
	}
	if err := json.Unmarshal(raw, &w); err != nil {
		var typ *json.UnmarshalTypeError
		if errors.As(err, &typ) && typ.Field != "" {
			return WebhookEvent{}, fmt.Errorf("its field %q is of another type than Discord's", typ.Field)
		}
		return WebhookEvent{}, errors.New("not an object")
	}
	switch {
	case w.Op != nil && !official:
		if *w.Op != 0 {
			return WebhookEvent{}, nil
		}
		return WebhookEvent{Type: w.T, Data: w.D}, wantObject(w.T, w.D)
	case w.Type == nil:
		return WebhookEvent{}, errors.New("neither an event nor a frame")
	case *w.Type == 0:
		return WebhookEvent{}, nil
	case *w.Type != 1 || w.Event == nil:
		return WebhookEvent{}, errors.New("an envelope without an event")
	}
	ev := WebhookEvent{Type: w.Event.Type, Data: w.Event.Data}
	if at, err := time.Parse(time.RFC3339Nano, w.Event.Timestamp); err == nil {
		ev.At = at
	}
	return ev, wantObject(ev.Type, ev.Data)
}

func wantObject(kind string, data []byte) error {
	if officialWebhooks[kind] || relayedWebhooks[kind] {
		if trimmed := bytes.TrimLeft(data, " \t\r\n"); len(trimmed) == 0 || trimmed[0] != '{' {
			return fmt.Errorf("%s without data", kind)
		}
	}
	return nil
}
