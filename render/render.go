// Package render turns one of Discord's messages into what people see: safe HTML and the JSON object that the API and the
// live socket show. It knows nothing of who is looking, so one rendering serves everybody who may read the channel; names
// of channels and roles, which a reader may not be allowed to know, are left to the page. What is for one reader and has no
// page to fill them in gets them from [Names].
//
// Nothing that a message says is ever taken for HTML. The text is parsed into a tree, and the tree is written with every
// piece of text escaped and every address checked; see [Renderer.HTML].
package render

import (
	"bytes"
	"encoding/json"
	"fmt"

	"tidings"
)

// Options are the operator's choices.
type Options struct {
	// DiscordCDN lets browsers load custom emoji, avatars and pictures from Discord. Without it readers' addresses stay
	// unknown to Discord and such things are shown by name.
	DiscordCDN bool
}

// Renderer renders messages. It is safe for concurrent use.
type Renderer struct {
	cdn     bool
	resting resting
}

// New returns a Renderer.
func New(o Options) *Renderer { return &Renderer{cdn: o.DiscordCDN} }

// Encode renders a message as the JSON object that the live socket carries.
func (r *Renderer) Encode(m tidings.Message) ([]byte, error) { return r.EncodeFor(m, nil) }

// EncodeFor is Encode for one reader, with the names that they may know.
func (r *Renderer) EncodeFor(m tidings.Message, n *Names) ([]byte, error) {
	v := r.Message(m)
	if n != nil {
		v = v.Named(n)
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // it is JSON for a socket, and most of it is HTML
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("render message %d: %w", m.ID, err)
	}
	return bytes.TrimRight(b.Bytes(), "\n"), nil
}
