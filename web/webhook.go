package web

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"regexp"
	"strconv"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
)

// Relay is somebody who may send gateway events to the webhook address: by name, which is part of the address, with a key of
// their own.
type Relay struct {
	Name   string
	Key    ed25519.PublicKey
	Guilds []discord.GuildID // that it may tell of; none means all
}

// DiscordSource is the name under which Discord itself sends its events.
const DiscordSource = "discord"

var relayName = regexp.MustCompile(`^[a-z0-9_-]{1,32}$`)

// RelayName reports whether a relay may be called so.
func RelayName(s string) bool { return relayName.MatchString(s) }

// Inbox keeps deliveries before they are answered. It is *store.Store.
type Inbox interface {
	KeepWebhook(ctx context.Context, source string, replayKey, body []byte, wait time.Duration) (fresh bool, err error)
}

// WebhookOptions switches the webhook address on.
type WebhookOptions struct {
	Inbox  Inbox
	Relays []Relay
	// DiscordKey is the application's public key; an error means that it is not known now.
	DiscordKey func(ctx context.Context) (ed25519.PublicKey, error)
	// Wait is how long a delivery lies before it is processed, so that what the gateway says as well comes first.
	Wait time.Duration
}

const (
	maxWebhookBody = 1 << 20
	// webhookTime bounds an answer. Discord waits for three seconds.
	// Source: discord.com/developers/docs/events/webhook-events#responding-to-events.
	webhookTime = 2500 * time.Millisecond
	// webhookSkew is how far the time of a signature may be from ours. Discord tries again for ten minutes and does not say
	// whether it signs anew, so its own may be older.
	webhookSkew        = 5 * time.Minute
	webhookSkewDiscord = 15 * time.Minute
	// webhooksAtOnce bounds the memory that deliveries can take.
	webhooksAtOnce = 32
)

// errWebhook is an answer that is not 204.
type errWebhook struct {
	status int
	why    string
}

func (e *errWebhook) Error() string { return e.why }

func refuse(status int, format string, a ...any) error {
	return &errWebhook{status, fmt.Sprintf(format, a...)}
}

// webhook is POST /webhooks/discord/{source}. docs/WEBHOOKS.md says what it answers when.
func (s *Server) webhook(w http.ResponseWriter, r *http.Request) {
	err := s.takeWebhook(w, r)
	if err == nil {
		w.Header().Set("Content-Type", "application/json") // Discord wants one, though there is no content.
		w.WriteHeader(http.StatusNoContent)
		return
	}
	var no *errWebhook
	if !errors.As(err, &no) {
		s.log.Warn("a webhook could not be kept; its sender is asked to try again", "source", r.PathValue("source"), "err", err)
		no = &errWebhook{http.StatusServiceUnavailable, "it could not be kept; send it again"}
	}
	writeProblem(w, problemf(no.status, "%s", no.why))
}

// takeWebhook keeps a delivery. nil means 204: kept, a repetition, a PING, or of no interest.
func (s *Server) takeWebhook(w http.ResponseWriter, r *http.Request) error {
	ctx, cancel := context.WithTimeout(r.Context(), webhookTime)
	defer cancel()
	source := r.PathValue("source")
	key, skew, err := s.webhookKey(ctx, source)
	if err != nil {
		return err
	}
	select {
	case s.webhooks <- struct{}{}:
		defer func() { <-s.webhooks }()
	default:
		return refuse(http.StatusServiceUnavailable, "too many deliveries at once; send it again")
	}
	http.NewResponseController(w).SetReadDeadline(time.Now().Add(webhookTime)) // A body that trickles in would hold a place.
	body, err := io.ReadAll(r.Body)
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return refuse(http.StatusRequestEntityTooLarge, "a delivery has at most %d bytes", tooLarge.Limit)
	case err != nil:
		return refuse(http.StatusBadRequest, "the body could not be read")
	}
	signature, err := verify(key, r.Header, body, time.Now(), skew)
	if err != nil {
		return err
	}
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/json" && (source == DiscordSource || kind != "application/x-ndjson") {
		return refuse(http.StatusUnsupportedMediaType, "the content type is application/json, or application/x-ndjson from a relay")
	}
	said, err := tidings.ParseWebhook(body, source == DiscordSource)
	if err != nil {
		return refuse(http.StatusBadRequest, "the body is none of the shapes that are taken: %v", err)
	}
	if len(said.Events) == 0 {
		return nil
	}
	bare, err := said.Bare()
	if err != nil {
		return refuse(http.StatusBadRequest, "the body is none of the shapes that are taken: %v", err)
	}
	replay := sha256.Sum256(signature)
	_, err = s.o.Webhooks.Inbox.KeepWebhook(ctx, source, replay[:], bare, s.o.Webhooks.Wait)
	return err
}

// webhookKey finds whose signature a source has, and how old it may be.
func (s *Server) webhookKey(ctx context.Context, source string) (ed25519.PublicKey, time.Duration, error) {
	if source == DiscordSource {
		key, err := s.o.Webhooks.DiscordKey(ctx)
		if err != nil {
			return nil, 0, fmt.Errorf("the application's public key is not known: %w", err)
		}
		return key, webhookSkewDiscord, nil
	}
	for _, relay := range s.o.Webhooks.Relays {
		if relay.Name == source {
			return relay.Key, webhookSkew, nil
		}
	}
	return nil, 0, refuse(http.StatusNotFound, "there is no such source")
}

// verify checks the signature over time and body, as Discord makes it, and that the time is now.
// Source: discord.com/developers/docs/interactions/overview#setting-up-an-endpoint-validating-security-request-headers.
func verify(key ed25519.PublicKey, h http.Header, body []byte, now time.Time, skew time.Duration) ([]byte, error) {
	bad := refuse(http.StatusUnauthorized, "invalid request signature")
	stamp := h.Get("X-Signature-Timestamp")
	signature, err := hex.DecodeString(h.Get("X-Signature-Ed25519"))
	if err != nil || len(signature) != ed25519.SignatureSize || len(key) != ed25519.PublicKeySize || len(stamp) > 20 {
		return nil, bad
	}
	if !ed25519.Verify(key, append([]byte(stamp), body...), signature) {
		return nil, bad
	}
	n, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil || n <= 0 {
		return nil, bad
	}
	at := time.Unix(n, 0)
	if n > 1e11 { // No seconds until the year 5138: some relays stamp milliseconds.
		at = time.UnixMilli(n)
	}
	if off := now.Sub(at); off > skew || off < -webhookSkew {
		return nil, refuse(http.StatusUnauthorized, "the signature's time is too far from now")
	}
	return signature, nil
}

// sessionEnder ends sessions by what they hold, and what a person has given out. It is *store.Store.
type sessionEnder interface {
	EndSessions(ctx context.Context, ends func(data []byte) bool) (ended []string, err error)
	EndOutlets(ctx context.Context, user discord.UserID) error
}

// EndUser ends every session of a person, in all browsers, the live sockets of these and of tokens that were revoked, given by
// their keys, and what was given out to be read in their name. It returns how many sessions there were.
func (s *Server) EndUser(ctx context.Context, u discord.UserID, tokens []string) (int, error) {
	for _, key := range tokens {
		s.o.Live.EndSession(kindToken + key)
	}
	e, ok := s.o.Store.(sessionEnder)
	if !ok {
		return 0, errors.New("end a person's sessions: the store cannot")
	}
	ended, err := e.EndSessions(ctx, func(data []byte) bool {
		_, values, err := s.sessions.Codec.Decode(data)
		return err == nil && values[sessionUser] == u.String()
	})
	for _, key := range ended {
		s.o.Live.EndSession(kindCookie + key)
	}
	if err == nil {
		err = e.EndOutlets(ctx, u) // last: no session is left that could open them again
	}
	return len(ended), err
}
