package render

import (
	"html/template"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
)

// View is one message as the API and the live socket show it. Fields that end in HTML are safe to put into a page.
type View struct {
	ID      discord.MessageID `json:"id"`
	Channel discord.ChannelID `json:"channel"`
	Guild   discord.GuildID   `json:"guild"`
	Author  Author            `json:"author"`
	Type    int               `json:"type" doc:"Discord's message type; an open set"`
	Flags   uint64            `json:"flags" doc:"Discord's message flags"`
	// Content is the text as it was written; for Discord's own lines it is empty and System says what happened.
	Content   string        `json:"content"`
	HTML      template.HTML `json:"html" doc:"The content as safe HTML"`
	System    string        `json:"system,omitempty" doc:"What happened, for lines that Discord writes itself"`
	Jumbo     bool          `json:"jumbo,omitempty" doc:"Only a few emoji, to be shown large"`
	Timestamp time.Time     `json:"timestamp"`
	Edited    *time.Time    `json:"edited_timestamp" doc:"null when never edited"`
	Mentions  Mentions      `json:"mentions"`
	Reply     *Reply        `json:"reply,omitempty"`
	Forwards  []Forward     `json:"forwards,omitempty"`

	Attachments []Attachment `json:"attachments"`
	Embeds      []Embed      `json:"embeds"`
	Stickers    []Sticker    `json:"stickers,omitempty"`
	Components  []Component  `json:"components,omitempty"`
	Poll        *Poll        `json:"poll,omitempty"`
	Reactions   []Reaction   `json:"reactions"`
	Thread      *Thread      `json:"thread,omitempty"`
	Pinned      bool         `json:"pinned,omitempty"`
}

// Author is who wrote a message. For what a webhook sent, ID is the webhook's.
type Author struct {
	ID      discord.UserID `json:"id"`
	Name    string         `json:"name" doc:"Nickname, else display name, else user name"`
	Avatar  string         `json:"avatar" doc:"Discord's avatar hash, empty for none"`
	Bot     bool           `json:"bot"`
	Webhook bool           `json:"webhook"`
}

// Mentions says whom a message mentions, by Discord's own arrays.
type Mentions struct {
	Users    []discord.UserID `json:"u"`
	Roles    []discord.RoleID `json:"r"`
	Everyone bool             `json:"e"`
}

// Reply is the line above an answer. Deleted is set when what was answered is gone.
type Reply struct {
	ID      discord.MessageID `json:"id"`
	Channel discord.ChannelID `json:"-"` // 0 where Discord does not name it: the message's own
	Author  *Author           `json:"author,omitempty"`
	Excerpt string            `json:"excerpt"`
	HTML    template.HTML     `json:"html,omitempty" doc:"The excerpt as safe HTML, where it mentions roles or channels, whose names are for the page to fill in"`
	Deleted bool              `json:"deleted"`
	unnamed *tidings.Message  // what is answered, where the excerpt has something to name
}

// Forward is a message that was passed on from elsewhere. Discord does not say who wrote it; a reader may not be allowed to see
// where it was written.
type Forward struct {
	Channel     discord.ChannelID `json:"channel,omitempty" doc:"Where it was written"`
	Message     discord.MessageID `json:"message,omitempty"`
	HTML        template.HTML     `json:"html"`
	Timestamp   *time.Time        `json:"timestamp,omitempty"`
	Attachments []Attachment      `json:"attachments"`
	Embeds      []Embed           `json:"embeds"`
	Stickers    []Sticker         `json:"stickers,omitempty"`
}

// Attachment is a file. Discord's addresses are signed and expire after about a day.
type Attachment struct {
	ID          string  `json:"id"`
	Name        string  `json:"name"`
	Description string  `json:"description,omitempty"`
	Type        string  `json:"type" doc:"Media type, empty when unknown"`
	Size        int64   `json:"size" doc:"Bytes"`
	URL         string  `json:"url"`
	Width       int     `json:"width,omitempty"`
	Height      int     `json:"height,omitempty"`
	Seconds     float64 `json:"seconds,omitempty" doc:"Of voice messages"`
	Waveform    string  `json:"waveform,omitempty" doc:"Of voice messages: base64, one byte a sample of the loudness"`
	Spoiler     bool    `json:"spoiler,omitempty"`
}

// Embed is a card below a message.
type Embed struct {
	Type        string        `json:"type,omitempty"`
	Title       template.HTML `json:"title,omitempty" doc:"Safe HTML"`
	Description template.HTML `json:"description,omitempty" doc:"Safe HTML"`
	URL         string        `json:"url,omitempty"`
	Color       int           `json:"color,omitempty" doc:"0xRRGGBB, 0 for none"`
	Author      string        `json:"author,omitempty"`
	AuthorURL   string        `json:"author_url,omitempty"`
	Provider    string        `json:"provider,omitempty"`
	Footer      string        `json:"footer,omitempty"`
	Timestamp   *time.Time    `json:"timestamp,omitempty"`
	Fields      []EmbedField  `json:"fields,omitempty"`
	Image       *Picture      `json:"image,omitempty"`
	Thumbnail   *Picture      `json:"thumbnail,omitempty"`
	Video       *Picture      `json:"video,omitempty"`
}

// EmbedField is one line of a card's table.
type EmbedField struct {
	Name   template.HTML `json:"name" doc:"Safe HTML"`
	Value  template.HTML `json:"value" doc:"Safe HTML"`
	Inline bool          `json:"inline,omitempty"`
}

// Picture is an address with a size in pixels.
type Picture struct {
	URL    string `json:"url"`
	Width  int    `json:"width,omitempty"`
	Height int    `json:"height,omitempty"`
}

// Sticker is a sticker by name.
type Sticker struct {
	ID     string `json:"id"`
	Name   string `json:"name"`
	Format int    `json:"format,omitempty" doc:"1 PNG, 2 APNG, 3 Lottie, 4 GIF"`
}

// Component is one of Discord's components: something that holds others (container, section, row, gallery), or a text, a
// picture, a file, or the label of a button or a menu, which work in Discord only.
type Component struct {
	Kind     string        `json:"kind" enum:"container,section,row,gallery,separator,text,button,link,menu,media,file"`
	HTML     template.HTML `json:"html,omitempty"`
	Text     string        `json:"text,omitempty"`
	URL      string        `json:"url,omitempty"`
	Color    int           `json:"color,omitempty" doc:"Of a container: 0xRRGGBB, 0 for none"`
	Spoiler  bool          `json:"spoiler,omitempty"`
	Children []Component   `json:"children,omitempty"`
}

// Poll is a question with its answers and, where Discord told them, their votes.
type Poll struct {
	Question  string       `json:"question"`
	Answers   []PollAnswer `json:"answers"`
	Multiple  bool         `json:"multiple"`
	Expires   *time.Time   `json:"expires,omitempty"`
	Finalized bool         `json:"finalized"`
}

// PollAnswer is one answer of a [Poll].
type PollAnswer struct {
	ID    int    `json:"id"`
	Text  string `json:"text"`
	Votes int    `json:"votes"`
}

// Reaction is how often one emoji was added.
type Reaction struct {
	Emoji    string `json:"emoji" doc:"The character itself, or the name of a custom emoji"`
	ID       string `json:"id,omitempty" doc:"Of a custom emoji"`
	Animated bool   `json:"animated,omitempty"`
	Count    int    `json:"count"`
}

// Thread is the thread that hangs on a message. Its name is not told: a reader may not be allowed to know it.
type Thread struct {
	ID       discord.ChannelID `json:"id"`
	Messages int               `json:"messages"`
}
