package render

import (
	"bytes"
	"encoding/json"
	"strings"
	"time"
)

// The payload types name the fields of Discord's objects that are shown. They are lenient on purpose: one field of an
// unforeseen kind must not hide the rest, so ids are raw and each list is decoded element by element.

type payload struct {
	Author            *payloadUser               `json:"author"`
	Member            *payloadMember             `json:"member"`
	WebhookID         rawID                      `json:"webhook_id"`
	Mentions          list[payloadMention]       `json:"mentions"`
	Attachments       list[payloadAttachment]    `json:"attachments"`
	Embeds            list[payloadEmbed]         `json:"embeds"`
	Stickers          list[payloadSticker]       `json:"sticker_items"`
	Components        list[payloadComponent]     `json:"components"`
	Reactions         list[payloadReaction]      `json:"reactions"`
	Snapshots         list[payloadSnapshot]      `json:"message_snapshots"`
	Reference         optional[payloadReference] `json:"message_reference"`
	Referenced        json.RawMessage            `json:"referenced_message"`
	Poll              optional[payloadPoll]      `json:"poll"`
	Thread            optional[payloadThread]    `json:"thread"`
	Interaction       optional[payloadCommand]   `json:"interaction_metadata"`
	InteractionLegacy optional[payloadCommand]   `json:"interaction"`
	Pinned            flag                       `json:"pinned"`
	Call              optional[struct{}]         `json:"call"`
	Purchase          optional[struct{}]         `json:"purchase_notification"`
	Subscription      optional[payloadTier]      `json:"role_subscription_data"`
	Timestamp         stamp                      `json:"timestamp"`
}

type payloadUser struct {
	ID         rawID `json:"id"`
	Username   str   `json:"username"`
	GlobalName str   `json:"global_name"`
	Avatar     str   `json:"avatar"`
	Bot        flag  `json:"bot"`
}

type payloadMember struct {
	Nick str `json:"nick"`
}

type payloadMention struct {
	payloadUser
	Member *payloadMember `json:"member"`
}

type payloadAttachment struct {
	ID          rawID  `json:"id"`
	Filename    str    `json:"filename"`
	Title       str    `json:"title"`
	Description str    `json:"description"`
	ContentType str    `json:"content_type"`
	Size        number `json:"size"`
	URL         str    `json:"url"`
	Width       number `json:"width"`
	Height      number `json:"height"`
	Duration    number `json:"duration_secs"`
	Waveform    str    `json:"waveform"`
	Flags       number `json:"flags"`
}

type payloadEmbed struct {
	Type        str    `json:"type"`
	Title       str    `json:"title"`
	Description str    `json:"description"`
	URL         str    `json:"url"`
	Color       number `json:"color"`
	Timestamp   stamp  `json:"timestamp"`
	Footer      optional[struct {
		Text str `json:"text"`
	}] `json:"footer"`
	Author optional[struct {
		Name str `json:"name"`
		URL  str `json:"url"`
	}] `json:"author"`
	Provider optional[struct {
		Name str `json:"name"`
	}] `json:"provider"`
	Image     optional[payloadPicture] `json:"image"`
	Thumbnail optional[payloadPicture] `json:"thumbnail"`
	Video     optional[payloadPicture] `json:"video"`
	Fields    list[struct {
		Name   str  `json:"name"`
		Value  str  `json:"value"`
		Inline flag `json:"inline"`
	}] `json:"fields"`
}

type payloadPicture struct {
	URL      str    `json:"url"`
	ProxyURL str    `json:"proxy_url"`
	Width    number `json:"width"`
	Height   number `json:"height"`
}

type payloadSticker struct {
	ID     rawID  `json:"id"`
	Name   str    `json:"name"`
	Format number `json:"format_type"`
}

type payloadComponent struct {
	Type        number                 `json:"type"`
	Content     str                    `json:"content"`
	Label       str                    `json:"label"`
	Placeholder str                    `json:"placeholder"`
	URL         str                    `json:"url"`
	Description str                    `json:"description"`
	Name        str                    `json:"name"`
	Components  list[payloadComponent] `json:"components"`
	Accessory   json.RawMessage        `json:"accessory"`
	Accent      number                 `json:"accent_color"`
	Spoiler     flag                   `json:"spoiler"`
	Items       list[struct {
		Media       optional[payloadPicture] `json:"media"`
		Description str                      `json:"description"`
		Spoiler     flag                     `json:"spoiler"`
	}] `json:"items"`
	Media optional[payloadPicture] `json:"media"`
	File  optional[payloadPicture] `json:"file"`
}

type payloadReaction struct {
	Count number `json:"count"`
	Emoji struct {
		ID       rawID `json:"id"`
		Name     str   `json:"name"`
		Animated flag  `json:"animated"`
	} `json:"emoji"`
}

type payloadSnapshot struct {
	Message struct {
		Content     str                     `json:"content"`
		Timestamp   stamp                   `json:"timestamp"`
		Mentions    list[payloadMention]    `json:"mentions"`
		Attachments list[payloadAttachment] `json:"attachments"`
		Embeds      list[payloadEmbed]      `json:"embeds"`
		Stickers    list[payloadSticker]    `json:"sticker_items"`
		Components  list[payloadComponent]  `json:"components"`
	} `json:"message"`
}

type payloadReference struct {
	Type      number `json:"type"`
	MessageID rawID  `json:"message_id"`
	ChannelID rawID  `json:"channel_id"`
}

type payloadPoll struct {
	Question struct {
		Text str `json:"text"`
	} `json:"question"`
	Answers list[struct {
		ID    number `json:"answer_id"`
		Media struct {
			Text  str `json:"text"`
			Emoji optional[struct {
				Name str `json:"name"`
			}] `json:"emoji"`
		} `json:"poll_media"`
	}] `json:"answers"`
	Expiry   stamp `json:"expiry"`
	Multiple flag  `json:"allow_multiselect"`
	Results  optional[struct {
		Finalized flag `json:"is_finalized"`
		Counts    list[struct {
			ID    number `json:"id"`
			Count number `json:"count"`
		}] `json:"answer_counts"`
	}] `json:"results"`
}

type payloadThread struct {
	ID       rawID  `json:"id"`
	Messages number `json:"message_count"`
}

type payloadCommand struct {
	Name str          `json:"name"`
	User *payloadUser `json:"user"`
}

type payloadTier struct {
	Name str `json:"tier_name"`
}

// list decodes what it can of an array and stops at a bound far above Discord's own limits.
type list[T any] []T

const maxList = 200

func (l *list[T]) UnmarshalJSON(b []byte) error {
	var raw []json.RawMessage
	if json.Unmarshal(b, &raw) != nil {
		return nil
	}
	for _, e := range raw[:min(len(raw), maxList)] {
		var v T
		if json.Unmarshal(e, &v) == nil {
			*l = append(*l, v)
		}
	}
	return nil
}

// optional is a part that may be absent, null or of an unforeseen kind.
type optional[T any] struct{ v *T }

func (o *optional[T]) UnmarshalJSON(b []byte) error {
	o.v = nil
	if bytes.Equal(b, []byte("null")) {
		return nil
	}
	v := new(T)
	if json.Unmarshal(b, v) == nil {
		o.v = v
	}
	return nil
}

type str string

func (t *str) UnmarshalJSON(b []byte) error {
	var s string
	if json.Unmarshal(b, &s) == nil {
		*t = str(strings.ReplaceAll(s, "\x00", "\uFFFD"))
	}
	return nil
}

type flag bool

func (f *flag) UnmarshalJSON(b []byte) error {
	*f = flag(bytes.Equal(b, []byte("true")))
	return nil
}

type number float64

func (n *number) UnmarshalJSON(b []byte) error {
	var f float64
	if json.Unmarshal(b, &f) == nil {
		*n = number(f)
	}
	return nil
}

// int64 clamps to what fits exactly into JavaScript's numbers and is not negative.
func (n number) int64() int64 { return int64(max(0, min(float64(n), 1<<53-1))) }

func (n number) int() int { return int(n.int64()) }

// rawID is a snowflake in digits, "" when absent or malformed.
type rawID string

func (r *rawID) UnmarshalJSON(b []byte) error {
	s := strings.Trim(string(b), `"`)
	if !digits(s) {
		s = ""
	}
	*r = rawID(s)
	return nil
}

func digits(s string) bool {
	if s == "" || len(s) > 20 {
		return false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

type stamp struct{ t *time.Time }

func (s *stamp) UnmarshalJSON(b []byte) error {
	s.t = nil
	var t time.Time
	// Years beyond four digits cannot be written as JSON.
	if !bytes.Equal(b, []byte("null")) && json.Unmarshal(b, &t) == nil && t.Year() > 0 && t.Year() < 10000 {
		t = t.UTC()
		s.t = &t
	}
	return nil
}
