package jobs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"tidings"
	"tidings/store"
)

// WatchKind is the kind of the timetable's job that looks for kinds of jobs that fail persistently.
const WatchKind = "watch-jobs"

// Watcher knows how jobs fare. It is *store.Store.
type Watcher interface {
	Watch(ctx context.Context, tell bool) (changed []store.Alert, err error)
}

// Watch is the handler of [WatchKind]. tell says that there is somebody to tell.
func Watch(w Watcher, tell bool, log *slog.Logger) Handler {
	return func(ctx context.Context, _ store.Job) error {
		changed, err := w.Watch(ctx, tell)
		for _, a := range changed {
			if a.Over {
				log.Info("a kind of job does not fail any more", "kind", a.Kind, "since", a.Since)
			} else {
				log.Error("a kind of job fails persistently", "kind", a.Kind, "since", a.Since, "failures", a.Failures, "err", a.Reason)
			}
		}
		return err
	}
}

const (
	alertTime = 10 * time.Second // for one telling
	// maxAlertReason bounds how much of an error is told.
	maxAlertReason = 300
)

// Alerter tells operators of alerts at an address of theirs, as JSON in a POST. Discord's and Slack's incoming webhooks show it.
type Alerter struct {
	URL  string
	From string // which service it is
	HTTP *http.Client
}

// NewAlerter makes an Alerter that follows no redirect: what it tells is for one address.
func NewAlerter(address, from string) *Alerter {
	return &Alerter{URL: address, From: from, HTTP: &http.Client{
		Timeout:       alertTime,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// alertBody is what is posted. content is what Discord shows, text what Slack does.
type alertBody struct {
	Content string `json:"content"`
	Text    string `json:"text"`
	// AllowedMentions keeps Discord from notifying anybody whom an error happens to name.
	AllowedMentions struct {
		Parse []string `json:"parse"`
	} `json:"allowed_mentions"`
	Alert   store.Alert `json:"alert"`
	Service string      `json:"service"`
}

// Handle is the handler of [store.SendAlert].
func (a *Alerter) Handle(ctx context.Context, j store.Job) error {
	var alert store.Alert
	if err := json.Unmarshal(j.Payload, &alert); err != nil {
		return Dead(fmt.Errorf("%w job: its payload: %w", tidings.ErrInvalid, err))
	}
	if r := []rune(alert.Reason); len(r) > maxAlertReason {
		alert.Reason = string(r[:maxAlertReason]) + "…"
	}
	line := fmt.Sprintf("Tidings at %s: jobs of the kind %s fail since %s, %d tries so far: %s", a.From, alert.Kind, alert.Since.UTC().Format(time.RFC3339), alert.Failures, alert.Reason)
	if alert.Over {
		line = fmt.Sprintf("Tidings at %s: jobs of the kind %s do not fail any more", a.From, alert.Kind)
	}
	b := alertBody{Content: line, Text: line, Alert: alert, Service: a.From}
	b.AllowedMentions.Parse = []string{}
	body, err := json.Marshal(b)
	if err != nil {
		return Dead(err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, a.URL, bytes.NewReader(body))
	if err != nil {
		return Dead(errors.New("ALERT_WEBHOOK_URL cannot be asked"))
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "Tidings")
	resp, err := a.HTTP.Do(req)
	if err != nil {
		return fmt.Errorf("tell of an alert: %w", withoutAddress(err))
	}
	defer resp.Body.Close()
	_, _ = io.CopyN(io.Discard, resp.Body, 64<<10)
	switch {
	case resp.StatusCode/100 == 2:
		return nil
	case resp.StatusCode/100 == 3, resp.StatusCode/100 == 4 && resp.StatusCode != http.StatusRequestTimeout && resp.StatusCode != http.StatusTooManyRequests:
		return Dead(fmt.Errorf("tell of an alert: ALERT_WEBHOOK_URL answers %s", resp.Status))
	}
	return fmt.Errorf("tell of an alert: %s", resp.Status)
}
