package jobs

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
	"tidings/store"
)

// OutgoingStore knows what webhooks have to tell. It is *store.Store.
type OutgoingStore interface {
	OutgoingWebhook(ctx context.Context, id int64) (store.OutgoingWebhook, error)
	Hits(ctx context.Context, set *tidings.VisibleSet, w store.OutgoingWebhook, limit int) ([]store.Hit, error)
	OutgoingSent(ctx context.Context, w store.OutgoingWebhook, told []discord.MessageID) error
	OutgoingFailed(ctx context.Context, id int64, why string, stop bool) (stopped bool, err error)
}

// Outgoing tells people's webhooks of their mentions, keywords and views. What is told is what the person may see when it is.
type Outgoing struct {
	Store   OutgoingStore
	Visible func(discord.UserID) *tidings.VisibleSet
	// Confirm is Visible by what is stored of these guilds now. It is (*access.Access).Confirm.
	Confirm func(ctx context.Context, u discord.UserID, guilds ...discord.GuildID) (*tidings.VisibleSet, error)
	// Open decrypts a webhook's secret.
	Open func(u discord.UserID, sealed []byte) ([]byte, error)
	// Encode writes a message as the API has it, with the names that whoever sees a set may know.
	Encode func(set *tidings.VisibleSet, m tidings.Message) ([]byte, error)
	HTTP   *http.Client // [OutgoingClient]
	Log    *slog.Logger
}

// Bounds of one delivery.
const (
	hitsEach       = 20
	outgoingAnswer = 4 << 10   // bytes of an answer that are read, which keeps the connection for the next
	outgoingWait   = time.Hour // the longest that an address may ask us to wait
)

// Delivery is what is posted.
type Delivery struct {
	Webhook  string        `json:"webhook"`
	Delivery string        `json:"delivery"` // another one for each attempt
	User     string        `json:"user"`
	Messages []DeliveredOf `json:"messages"`
}

// DeliveredOf is one message of a [Delivery].
type DeliveredOf struct {
	Why     []string        `json:"why"` // mention, keyword, view
	Message json.RawMessage `json:"message"`
}

// Handle does a job of the kind [store.SendWebhook].
func (o *Outgoing) Handle(ctx context.Context, j store.Job) error {
	id, err := strconv.ParseInt(j.Key, 10, 64)
	if err != nil {
		return Dead(fmt.Errorf("%w webhook %q", tidings.ErrInvalid, j.Key))
	}
	w, err := o.Store.OutgoingWebhook(ctx, id)
	if errors.Is(err, tidings.ErrNotFound) || err == nil && w.Stopped {
		return nil
	}
	if err != nil {
		return err
	}
	set, hits, err := stillSeen(ctx, o.Visible, o.Confirm, w.User, func(set *tidings.VisibleSet) ([]store.Hit, error) {
		return o.Store.Hits(ctx, set, w, hitsEach)
	})
	if err != nil || len(hits) == 0 {
		return err
	}
	body, told, err := o.body(w, set, hits)
	if err != nil {
		return err
	}
	secret, err := o.Open(w.User, w.Secret)
	if err != nil {
		o.Log.Error("a webhook's secret cannot be read; its person has to make it again", "webhook", w.ID, "user", w.User, "err", err)
		_, err = o.Store.OutgoingFailed(ctx, w.ID, "its secret cannot be read any more; delete it and make another", true)
		return err
	}
	if bad := o.post(ctx, w.URL, secret, body); bad != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		stopped, err := o.Store.OutgoingFailed(ctx, w.ID, bad.why, bad.status == http.StatusGone)
		if err != nil {
			return err
		}
		if stopped {
			o.Log.Info("a webhook is stopped", "webhook", w.ID, "user", w.User, "why", bad.why)
			return nil
		}
		failed := fmt.Errorf("webhook %d: %s", w.ID, bad.why)
		if bad.wait > 0 {
			return RetryAfter(failed, bad.wait)
		}
		return failed
	}
	if err := o.Store.OutgoingSent(ctx, w, told); err != nil {
		return err
	}
	if len(hits) == hitsEach {
		return ErrYield
	}
	return nil
}

// errMoved is that rights changed each time that somebody was to be told something.
var errMoved = errors.New("what may be seen keeps changing")

// stillSeen reads what somebody is to be told. What leaves the service cannot be taken back, so that it is looked at once more whether they may see it,
// which this process may have heard of later than of the messages.
func stillSeen(
	ctx context.Context, visible func(discord.UserID) *tidings.VisibleSet,
	confirm func(context.Context, discord.UserID, ...discord.GuildID) (*tidings.VisibleSet, error),
	u discord.UserID, read func(*tidings.VisibleSet) ([]store.Hit, error),
) (*tidings.VisibleSet, []store.Hit, error) {
	for range 3 {
		set := visible(u)
		hits, err := read(set)
		if err != nil || len(hits) == 0 {
			return set, nil, err
		}
		var guilds []discord.GuildID
		for _, h := range hits {
			if !slices.Contains(guilds, h.Message.Guild) {
				guilds = append(guilds, h.Message.Guild)
			}
		}
		now, err := confirm(ctx, u, guilds...)
		if err != nil {
			return nil, nil, err
		}
		if now.Epoch == set.Epoch {
			return now, hits, nil // it may have newer names
		}
	}
	return nil, nil, RetryAfter(errMoved, time.Second)
}

func (o *Outgoing) body(w store.OutgoingWebhook, set *tidings.VisibleSet, hits []store.Hit) ([]byte, []discord.MessageID, error) {
	d := Delivery{Webhook: strconv.FormatInt(w.ID, 10), Delivery: rand.Text(), User: w.User.String()}
	var told []discord.MessageID
	for _, h := range hits {
		m, err := o.Encode(set, h.Message)
		if err != nil {
			return nil, nil, fmt.Errorf("encode message %d: %w", h.Message.ID, err)
		}
		d.Messages = append(d.Messages, DeliveredOf{h.Why, m})
		told = append(told, h.Message.ID)
	}
	b, err := json.Marshal(d)
	return b, told, err
}

// refusal is why a delivery did not arrive, in words for its owner, which tell nothing of the inside of our network.
type refusal struct {
	why    string
	status int
	wait   time.Duration
}

func (o *Outgoing) post(ctx context.Context, address string, secret, body []byte) *refusal {
	ctx, cancel := context.WithTimeout(ctx, outgoingTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return &refusal{why: "the address cannot be read"}
	}
	at := strconv.FormatInt(time.Now().Unix(), 10)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "Tidings-Webhook/1")
	req.Header.Set("Tidings-Signature", "t="+at+",v1="+Sign(secret, at, body))
	res, err := o.HTTP.Do(req)
	switch {
	case errors.Is(err, errPrivate):
		return &refusal{why: errPrivate.Error()}
	case err != nil && ctx.Err() != nil:
		return &refusal{why: "it did not answer in time"}
	case err != nil:
		o.Log.Debug("a webhook could not be reached", "err", withoutAddress(err))
		return &refusal{why: "it could not be reached"}
	}
	return answered(res, "it")
}

// withoutAddress is an error of an http.Client without the address that was asked: whoever knows it may write there.
func withoutAddress(err error) error {
	if u := (*url.Error)(nil); errors.As(err, &u) {
		return u.Err
	}
	return err
}

// answered takes an answer in: nil when it is a yes. who is whose it is, for the owner.
func answered(res *http.Response, who string) *refusal {
	defer res.Body.Close()
	io.Copy(io.Discard, io.LimitReader(res.Body, outgoingAnswer))
	if res.StatusCode >= 200 && res.StatusCode <= 299 {
		return nil
	}
	r := &refusal{why: fmt.Sprintf("%s answered %d", who, res.StatusCode), status: res.StatusCode}
	if res.StatusCode >= 300 && res.StatusCode <= 399 {
		r.why += ", and redirects are not followed"
	}
	if s, err := strconv.Atoi(res.Header.Get("Retry-After")); err == nil && s > 0 {
		r.wait = min(time.Duration(min(s, 1<<20))*time.Second, outgoingWait)
	}
	return r
}

// Sign is the signature of a delivery: the HMAC-SHA256 of the time in seconds, a dot, and the body, in hex.
func Sign(secret []byte, at string, body []byte) string {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(at))
	mac.Write([]byte{'.'})
	mac.Write(body)
	return hex.EncodeToString(mac.Sum(nil))
}
