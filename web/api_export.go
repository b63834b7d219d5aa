package web

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
	"tidings/store"
)

// An export is bounded: what is left when it stops is for the next request, from its cursor on.
const (
	exportTime     = 20 * time.Second
	exportMessages = 20_000
	exportPage     = 100
	exportWrite    = 20 * time.Second // for a page, to whoever reads slowly
	exportsAtOnce  = 8
	exportsEach    = 2
)

type exportInput struct {
	Channel ID     `query:"channel" doc:"Exactly one of channel and view"`
	View    int64  `query:"view" minimum:"1"`
	Format  string `query:"format" enum:"json,ndjson" default:"ndjson" doc:"json: one object with messages and next. ndjson: a line for each message, then one with next"`
	Cursor  string `query:"cursor" maxLength:"200" doc:"The next of an export that stopped, or the cursor of the last message that arrived"`
}

// ExportedMessage is a message in an export.
type ExportedMessage struct {
	MessageView
	Cursor string `json:"cursor" doc:"Goes on behind this message"`
}

// ExportBody is an export as one object.
type ExportBody struct {
	Messages []ExportedMessage `json:"messages" doc:"Newest first"`
	Next     Cursor            `json:"next" doc:"Where to go on; null when this was all"`
}

// export registers the one operation whose answer is written as it is read.
func (s *Server) export(api huma.API) {
	op := operation(http.MethodGet, "/api/export", "All messages of a channel or view, newest first", scopeRead)
	op.Metadata["limit"] = "export"
	op.Errors = append(op.Errors, http.StatusTooManyRequests)
	body := api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[ExportBody](), true, "")
	line := api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[ExportedMessage](), true, "")
	op.Responses = map[string]*huma.Response{"200": {Description: "The messages", Content: map[string]*huma.MediaType{
		"application/json": {Schema: body}, "application/x-ndjson": {Schema: line},
	}}}
	huma.Register(api, op, s.getExport)
}

// pager reads an export page by page: cursor "" is the beginning, and a next of "" the end.
type pager func(ctx context.Context, cursor string) (page []ExportedMessage, next string, err error)

func (s *Server) getExport(ctx context.Context, in *exportInput) (*huma.StreamResponse, error) {
	p := asking(ctx)
	var read pager
	switch {
	case in.Channel.given() == (in.View != 0):
		return nil, fieldProblem("query.channel", "expected exactly one of channel and view", nil)
	case in.View != 0:
		v, err := s.o.Store.View(ctx, p.user, in.View)
		if err != nil {
			return nil, s.failed(ctx, "export", err)
		}
		read = s.exportView(p, v)
	default:
		channel, err := parseID[discord.ChannelID]("query.channel", in.Channel)
		if err != nil {
			return nil, err
		}
		read = s.exportChannel(p, channel)
	}
	leave, ok := s.exports.enter(p.user.String(), exportsAtOnce, exportsEach)
	if !ok {
		return nil, tooMany(exportTime)
	}
	// What is wrong with the question shows before the answer begins.
	page, next, err := read(ctx, in.Cursor)
	if err != nil {
		leave()
		return nil, s.failed(ctx, "export", err)
	}
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		defer leave()
		_, w := humago.Unwrap(hc)
		e := exporter{w: w, lines: in.Format == "ndjson"}
		if err := e.run(ctx, read, page, next); err != nil && ctx.Err() == nil {
			s.log.Warn("an export ended early", "user", p.user, "err", err)
		}
	}}, nil
}

func (s *Server) exportChannel(p who, channel discord.ChannelID) pager {
	return func(ctx context.Context, cursor string) ([]ExportedMessage, string, error) {
		set := s.o.Access.Visible(p.user)
		g, c, err := readable(set, channel)
		if err != nil {
			return nil, "", err
		}
		q := store.PageQuery{Channel: channel, Limit: exportPage}
		if cursor != "" {
			if q.Before, err = store.CursorMessage(cursor); err != nil {
				return nil, "", err
			}
		}
		page, err := s.o.Store.Messages(ctx, q)
		if err != nil || len(page.Messages) == 0 {
			return nil, "", err
		}
		for i := range page.Messages {
			page.Messages[i].Guild = g.Guild.ID
		}
		next := ""
		if page.More {
			next = store.CursorAt(page.Messages[len(page.Messages)-1])
		}
		views, err := s.exported(ctx, narrowed(set, g, c), page.Messages)
		return views, next, err
	}
}

func (s *Server) exportView(p who, v store.View) pager {
	return func(ctx context.Context, cursor string) ([]ExportedMessage, string, error) {
		set := s.o.Access.Visible(p.user)
		q := v.Filters.Query()
		q.Cursor, q.Limit = cursor, exportPage
		page, err := s.o.Store.Feed(ctx, set, q)
		if err != nil {
			return nil, "", err
		}
		views, err := s.exported(ctx, set, page.Messages)
		return views, page.Next, err
	}
}

func (s *Server) exported(ctx context.Context, set *tidings.VisibleSet, messages []tidings.Message) ([]ExportedMessage, error) {
	views, err := s.views(ctx, set, messages)
	out := make([]ExportedMessage, len(views))
	called := s.names(s.o.Access.Visible(set.User)) // by what was asked for after the messages were read
	for i, v := range views {
		out[i] = ExportedMessage{v.named(called), store.CursorAt(tidings.Message{ID: v.ID, Channel: v.Channel})}
	}
	return out, err
}

// exporter writes an export. It holds one page at a time.
type exporter struct {
	w     http.ResponseWriter
	lines bool
	n     int
}

func (e *exporter) run(ctx context.Context, read pager, page []ExportedMessage, next string) error {
	began := time.Now()
	rc := http.NewResponseController(e.w)
	// The connection may serve other requests afterwards, which have no such deadline.
	defer rc.SetWriteDeadline(time.Time{})
	kind, head := "application/json", `{"messages":[`
	if e.lines {
		kind, head = "application/x-ndjson", ""
	}
	e.w.Header().Set("Content-Type", kind)
	e.w.Header().Set("Content-Disposition", `attachment; filename="export.`+map[bool]string{true: "ndjson", false: "json"}[e.lines]+`"`)
	e.w.WriteHeader(http.StatusOK)
	if _, err := io.WriteString(e.w, head); err != nil {
		return err
	}
	cursor := Cursor(next)
	for {
		if err := rc.SetWriteDeadline(time.Now().Add(exportWrite)); err != nil && !errors.Is(err, http.ErrNotSupported) {
			return err
		}
		if err := e.write(page); err != nil {
			return err
		}
		if cursor == "" || time.Since(began) > exportTime || e.n >= exportMessages {
			break
		}
		var err error
		if page, next, err = read(ctx, string(cursor)); errors.Is(err, tidings.ErrNotFound) {
			cursor = "" // The channel was lost meanwhile: there is nothing more to see.
			break
		} else if err != nil {
			return err // The answer stays without its end, and says so by that.
		}
		cursor = Cursor(next)
	}
	end, err := json.Marshal(struct {
		Next Cursor `json:"next"`
	}{cursor})
	if err != nil {
		return err
	}
	if !e.lines {
		end = append([]byte("],"), end[1:]...)
	}
	_, err = e.w.Write(append(end, '\n'))
	return err
}

func (e *exporter) write(page []ExportedMessage) error {
	for _, m := range page {
		b, err := json.Marshal(m)
		if err != nil {
			return err
		}
		if e.lines {
			b = append(b, '\n')
		} else if e.n > 0 {
			b = append([]byte{','}, b...)
		}
		e.n++
		if _, err := e.w.Write(b); err != nil {
			return err
		}
	}
	return nil
}
