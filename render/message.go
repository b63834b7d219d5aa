package render

import (
	"encoding/base64"
	"encoding/json"
	"html/template"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
)

// Of Discord's attachment flags and message reference types.
const (
	flagSpoilerAttachment = 1 << 3
	referenceForward      = 1
)

// Message renders a message. Whatever of the payload cannot be understood is left out; the rest is shown.
func (r *Renderer) Message(m tidings.Message) View {
	p := parsePayload(m.Payload)
	v := View{
		ID: m.ID, Channel: m.Channel, Guild: m.Guild, Type: m.Type, Flags: m.Flags, Content: m.Content,
		Timestamp: m.ID.Time().UTC().Truncate(time.Millisecond),
		Mentions: Mentions{
			Users: orEmpty(m.Mentions.Users), Roles: orEmpty(m.Mentions.Roles), Everyone: m.Mentions.Everyone,
		},
		Author:      author(p.Author, p.Member, m.Author),
		Attachments: attachments(p.Attachments),
		Reactions:   reactions(p.Reactions),
		Stickers:    stickers(p.Stickers),
		Poll:        poll(p.Poll.v),
		Reply:       r.reply(p, m),
		Pinned:      bool(p.Pinned),
	}
	v.Author.Webhook = p.WebhookID != ""
	if p.Timestamp.t != nil {
		v.Timestamp = *p.Timestamp.t
	}
	if m.EditedMS > 0 {
		t := time.UnixMilli(m.EditedMS).UTC()
		v.Edited = &t
	}
	names := names(p.Mentions)
	if line := systemLine(m.Type, p, v.Author.Name, m.Content); line != "" {
		v.System = line
		v.HTML = template.HTML("<p>" + escape(line) + "</p>")
	} else {
		v.HTML = r.HTML(m.Content, names, m.Mentions.Everyone)
		v.Jumbo = jumbo(m.Content)
	}
	v.Embeds = r.embeds(p.Embeds, names)
	v.Components = r.components(p.Components, names)
	v.Forwards = r.forwards(p)
	if t := p.Thread.v; t != nil && t.ID != "" {
		v.Thread = &Thread{ID: discord.ChannelID(snowflake(t.ID)), Messages: t.Messages.int()}
	}
	return v
}

func parsePayload(b []byte) payload {
	var p payload
	if len(b) > 0 {
		// A payload that is not an object leaves p empty, which shows the text and the ids that are known.
		_ = json.Unmarshal(b, &p)
	}
	return p
}

func snowflake(id rawID) uint64 {
	n, err := strconv.ParseUint(string(id), 10, 64)
	if err != nil || n == 1<<64-1 {
		return 0
	}
	return n
}

func author(u *payloadUser, m *payloadMember, id discord.UserID) Author {
	a := Author{ID: id, Name: "Unknown"}
	if u != nil {
		a.Name = userName(u, m)
		a.Avatar = hash(string(u.Avatar))
		a.Bot = bool(u.Bot)
		if a.ID == 0 {
			a.ID = discord.UserID(snowflake(u.ID))
		}
	}
	return a
}

// hash lets through what can be one of Discord's image hashes and nothing that could change an address.
func hash(s string) string {
	for i := range len(s) {
		c := s[i]
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && c != '_' || i > 64 {
			return ""
		}
	}
	return s
}

func userName(u *payloadUser, m *payloadMember) string {
	if m != nil && strings.TrimSpace(string(m.Nick)) != "" {
		return string(m.Nick)
	}
	for _, n := range []str{u.GlobalName, u.Username} {
		if strings.TrimSpace(string(n)) != "" {
			return string(n)
		}
	}
	return "Unknown"
}

// names maps mentioned people to what they are called here.
func names(mentions []payloadMention) map[string]string {
	n := make(map[string]string, len(mentions))
	for _, u := range mentions {
		if u.ID != "" {
			n[string(u.ID)] = userName(&u.payloadUser, u.Member)
		}
	}
	return n
}

func (r *Renderer) reply(p payload, m tidings.Message) *Reply {
	ref := p.Reference.v
	if ref == nil || ref.Type.int() == referenceForward || (m.Type != tidings.TypeReply && m.Type != tidings.TypeThreadStarter && m.Type != tidings.TypeContextMenuCommand) {
		return nil
	}
	v := &Reply{ID: discord.MessageID(snowflake(ref.MessageID)), Channel: discord.ChannelID(snowflake(ref.ChannelID))}
	if string(p.Referenced) == "null" {
		v.Deleted = true
		return v
	}
	if len(p.Referenced) == 0 {
		return v
	}
	to, err := tidings.ParseMessage(p.Referenced, m.Guild)
	if err != nil {
		return v
	}
	rp := parsePayload(p.Referenced)
	a := author(rp.Author, rp.Member, to.Author)
	a.Webhook = rp.WebhookID != ""
	v.Author = &a
	e := excerptOf(to, nil)
	v.Excerpt, v.HTML = e.plain(), e.html()
	if len(e.unnamed) > 0 {
		kept := to
		v.unnamed = &kept
	}
	return v
}

func (r *Renderer) forwards(p payload) []Forward {
	var out []Forward
	for _, s := range p.Snapshots {
		names := names(s.Message.Mentions)
		f := Forward{
			HTML:        r.HTML(string(s.Message.Content), names, false),
			Timestamp:   s.Message.Timestamp.t,
			Attachments: attachments(s.Message.Attachments),
			Embeds:      r.embeds(s.Message.Embeds, names),
			Stickers:    stickers(s.Message.Stickers),
		}
		f.HTML += texts(r.components(s.Message.Components, names))
		if ref := p.Reference.v; ref != nil && ref.Type.int() == referenceForward {
			f.Channel, f.Message = discord.ChannelID(snowflake(ref.ChannelID)), discord.MessageID(snowflake(ref.MessageID))
		}
		out = append(out, f)
	}
	return out
}

func attachments(in []payloadAttachment) []Attachment {
	out := make([]Attachment, 0, len(in))
	for _, a := range in {
		name := string(a.Filename)
		out = append(out, Attachment{
			ID: string(a.ID), Name: name, Description: string(a.Description), Type: string(a.ContentType),
			Size: a.Size.int64(), URL: webURL(string(a.URL)), Width: a.Width.int(), Height: a.Height.int(),
			Seconds: float64(max(0, a.Duration)), Waveform: waveform(string(a.Waveform)),
			Spoiler: a.Flags.int64()&flagSpoilerAttachment != 0 || strings.HasPrefix(name, "SPOILER_"),
		})
	}
	return out
}

// waveform lets through what can be Discord's: base64 of up to 256 samples.
func waveform(s string) string {
	if b, err := base64.StdEncoding.DecodeString(s); err != nil || len(b) > 256 {
		return ""
	}
	return s
}

func (r *Renderer) embeds(in []payloadEmbed, names map[string]string) []Embed {
	out := make([]Embed, 0, len(in))
	for _, e := range in {
		v := Embed{
			Type: string(e.Type), URL: webURL(string(e.URL)), Color: e.Color.int() & 0xFFFFFF, Timestamp: e.Timestamp.t,
			Title:       r.inline(string(e.Title), names),
			Description: r.HTML(string(e.Description), names, false),
			Image:       picture(e.Image.v), Thumbnail: picture(e.Thumbnail.v), Video: picture(e.Video.v),
		}
		if a := e.Author.v; a != nil {
			v.Author, v.AuthorURL = string(a.Name), webURL(string(a.URL))
		}
		if f := e.Footer.v; f != nil {
			v.Footer = string(f.Text)
		}
		if p := e.Provider.v; p != nil {
			v.Provider = string(p.Name)
		}
		for _, f := range e.Fields[:min(len(e.Fields), 25)] {
			v.Fields = append(v.Fields, EmbedField{
				Name: r.inline(string(f.Name), names), Value: r.HTML(string(f.Value), names, false), Inline: bool(f.Inline),
			})
		}
		out = append(out, v)
	}
	return out
}

func picture(p *payloadPicture) *Picture {
	if p == nil {
		return nil
	}
	u := webURL(string(p.ProxyURL))
	if u == "" {
		u = webURL(string(p.URL))
	}
	if u == "" {
		return nil
	}
	return &Picture{URL: u, Width: p.Width.int(), Height: p.Height.int()}
}

func stickers(in []payloadSticker) []Sticker {
	var out []Sticker
	for _, s := range in {
		out = append(out, Sticker{ID: string(s.ID), Name: string(s.Name), Format: s.Format.int()})
	}
	return out
}

func reactions(in []payloadReaction) []Reaction {
	out := make([]Reaction, 0, len(in))
	for _, re := range in {
		if n := re.Count.int(); n > 0 {
			out = append(out, Reaction{Emoji: string(re.Emoji.Name), ID: string(re.Emoji.ID), Animated: bool(re.Emoji.Animated), Count: n})
		}
	}
	return out
}

func poll(p *payloadPoll) *Poll {
	if p == nil {
		return nil
	}
	v := &Poll{Question: string(p.Question.Text), Multiple: bool(p.Multiple), Expires: p.Expiry.t, Answers: []PollAnswer{}}
	votes := map[int]int{}
	if res := p.Results.v; res != nil {
		v.Finalized = bool(res.Finalized)
		for _, c := range res.Counts {
			votes[c.ID.int()] = c.Count.int()
		}
	}
	for _, a := range p.Answers {
		t := string(a.Media.Text)
		// A custom emoji has a name of ASCII letters; it is shown between colons.
		if e := a.Media.Emoji.v; e != nil && e.Name != "" {
			name := string(e.Name)
			if name[0] < utf8.RuneSelf {
				name = ":" + name + ":"
			}
			t = name + " " + t
		}
		v.Answers = append(v.Answers, PollAnswer{ID: a.ID.int(), Text: t, Votes: votes[a.ID.int()]})
	}
	return v
}

// Of Discord's component types.
const (
	componentRow       = 1
	componentButton    = 2
	componentSection   = 9
	componentText      = 10
	componentThumbnail = 11
	componentGallery   = 12
	componentFile      = 13
	componentSeparator = 14
	componentContainer = 17
)

// components shows a tree of components. Discord allows 40 of them in three levels; what goes far beyond is left out.
func (r *Renderer) components(in []payloadComponent, names map[string]string) []Component {
	const (
		most    = 100
		deepest = 6
	)
	left := most
	var tree func(cs []payloadComponent, depth int) []Component
	tree = func(cs []payloadComponent, depth int) []Component {
		var out []Component
		for _, c := range cs {
			if depth > deepest || left <= 0 {
				return out
			}
			left--
			v := Component{Spoiler: bool(c.Spoiler)}
			switch c.Type.int() {
			case componentRow:
				v.Kind = "row"
			case componentSection:
				v.Kind = "section"
			case componentContainer:
				v.Kind, v.Color = "container", c.Accent.int()&0xFFFFFF
			case componentSeparator:
				v.Kind = "separator"
			case componentButton:
				v.Kind, v.Text = "button", string(c.Label)
				if u := webURL(string(c.URL)); u != "" {
					v.Kind, v.URL = "link", u
				}
			case 3, 5, 6, 7, 8:
				v.Kind, v.Text = "menu", string(c.Placeholder)
			case componentText:
				v.Kind, v.HTML = "text", r.HTML(string(c.Content), names, false)
			case componentThumbnail:
				if p := picture(c.Media.v); p != nil {
					v.Kind, v.Text, v.URL = "media", string(c.Description), p.URL
				}
			case componentGallery:
				v.Kind = "gallery"
				for _, i := range c.Items {
					if p := picture(i.Media.v); p != nil && left > 0 {
						left--
						v.Children = append(v.Children, Component{Kind: "media", Text: string(i.Description), URL: p.URL, Spoiler: bool(i.Spoiler)})
					}
				}
			case componentFile:
				if p := picture(c.File.v); p != nil {
					v.Kind, v.Text, v.URL = "file", string(c.Name), p.URL
				}
			}
			inner := tree(c.Components, depth+1)
			if len(c.Accessory) > 0 {
				var a payloadComponent
				if json.Unmarshal(c.Accessory, &a) == nil {
					inner = append(inner, tree([]payloadComponent{a}, depth+1)...)
				}
			}
			switch v.Kind {
			case "": // not known here: what is in it is shown all the same
				out = append(out, inner...)
			case "row", "section", "container", "gallery":
				if v.Children = append(v.Children, inner...); len(v.Children) > 0 {
					out = append(out, v)
				}
			default:
				out = append(append(out, v), inner...)
			}
		}
		return out
	}
	return tree(in, 0)
}

// texts is all text of a tree of components.
func texts(in []Component) template.HTML {
	var all template.HTML
	for _, c := range in {
		all += c.HTML + texts(c.Children)
	}
	return all
}

// webURL returns an address that is safe to link to, or "": http and https only, with a host, written out anew.
func webURL(s string) string {
	if len(s) > 2048 {
		return ""
	}
	u, err := url.Parse(strings.TrimSpace(s))
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return ""
	}
	return u.String()
}

func orEmpty[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}
