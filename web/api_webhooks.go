package web

import (
	"context"
	"crypto/rand"
	"math"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings/store"
)

// WebhookView is an address that is told of what the person wants to hear of.
type WebhookView struct {
	ID        string     `json:"id"`
	URL       string     `json:"url"`
	Mentions  bool       `json:"mentions"`
	Keywords  bool       `json:"keywords"`
	View      *string    `json:"view" doc:"null for none"`
	CreatedAt time.Time  `json:"created_at"`
	LastAt    *time.Time `json:"last_at" doc:"When it was last told something, or could not be"`
	Failures  int        `json:"failures" doc:"In a row"`
	LastError string     `json:"last_error" doc:"Empty when the last delivery arrived"`
	Stopped   bool       `json:"stopped" doc:"It has failed too often, and is told of nothing any more"`
}

func webhookView(w store.OutgoingWebhook) WebhookView {
	v := WebhookView{ID: ownID(w.ID), URL: w.URL, Mentions: w.Mentions, Keywords: w.Keywords, CreatedAt: w.CreatedAt.UTC(), LastAt: w.LastAt,
		Failures: w.Failures, LastError: w.LastError, Stopped: w.Stopped}
	if w.View != 0 {
		view := ownID(w.View)
		v.View = &view
	}
	return v
}

type webhooksOutput struct {
	Body struct {
		Webhooks []WebhookView `json:"webhooks"`
	}
}

func (s *Server) getWebhooks(ctx context.Context, _ *struct{}) (*webhooksOutput, error) {
	list, err := s.o.Store.OutgoingWebhooks(ctx, asking(ctx).user)
	if err != nil {
		return nil, s.failed(ctx, "list webhooks", err)
	}
	out := &webhooksOutput{}
	out.Body.Webhooks = make([]WebhookView, 0, len(list))
	for _, w := range list {
		out.Body.Webhooks = append(out.Body.Webhooks, webhookView(w))
	}
	return out, nil
}

type newWebhookInput struct {
	Body struct {
		URL      string `json:"url" maxLength:"2000" doc:"An https address on the public internet"`
		Mentions bool   `json:"mentions,omitempty" doc:"Tell of what mentions you"`
		Keywords bool   `json:"keywords,omitempty" doc:"Tell of what holds one of your keywords"`
		View     ID     `json:"view,omitempty" doc:"Tell of what this view of yours shows"`
	}
}

type newWebhookOutput struct {
	Body struct {
		WebhookView
		Secret string `json:"secret" doc:"Signs the deliveries. Shown this once"`
	}
}

// postWebhook sends what may be read to elsewhere, so whoever asks must be allowed to read, and not only to mark.
func (s *Server) postWebhook(ctx context.Context, in *newWebhookInput) (*newWebhookOutput, error) {
	p, b := asking(ctx), in.Body
	if !p.may(scopeRead) {
		return nil, scopeMissing(scopeRead)
	}
	if why := badTarget(b.URL); why != "" {
		return nil, fieldProblem("body.url", why, b.URL)
	}
	view, err := parseID[uint64]("body.view", b.View)
	if err != nil || view > math.MaxInt64 {
		return nil, fieldProblem("body.view", "expected the id of a view of yours", b.View)
	}
	if !b.Mentions && !b.Keywords && view == 0 {
		return nil, fieldProblem("body.mentions", "expected at least one of mentions, keywords and view", nil)
	}
	out := &newWebhookOutput{}
	out.Body.Secret = rand.Text()
	w, err := s.o.Store.CreateOutgoing(ctx, store.OutgoingWebhook{
		User: p.user, URL: b.URL, Secret: s.seal.seal(p.user, []byte(out.Body.Secret)), Mentions: b.Mentions, Keywords: b.Keywords, View: int64(view),
	})
	if err != nil {
		return nil, s.failed(ctx, "make a webhook", err)
	}
	out.Body.WebhookView = webhookView(w)
	return out, nil
}

// badTarget says what is wrong with an address; "" when nothing is. Where its name leads is looked at when something is sent.
func badTarget(text string) string {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Hostname() == "" || u.Opaque != "":
		return "expected an address such as https://example.org/hook"
	case u.Scheme != "https":
		return "only https addresses are told"
	case u.User != nil || u.Fragment != "":
		return "an address must hold no password and no fragment"
	}
	if ip, err := netip.ParseAddr(u.Hostname()); err == nil && (!ip.IsGlobalUnicast() || ip.IsPrivate()) || strings.EqualFold(u.Hostname(), "localhost") {
		return "expected an address on the public internet"
	}
	return ""
}

type webhookIDInput struct {
	ID int64 `path:"id" minimum:"1"`
}

func (s *Server) deleteWebhook(ctx context.Context, in *webhookIDInput) (*struct{}, error) {
	if err := s.o.Store.DeleteOutgoing(ctx, asking(ctx).user, in.ID); err != nil {
		return nil, s.failed(ctx, "delete a webhook", err)
	}
	return nil, nil
}

// OpenSecret decrypts what was sealed for a person, such as a webhook's secret.
func (s *Server) OpenSecret(u discord.UserID, sealed []byte) ([]byte, error) {
	return s.seal.open(u, sealed)
}
