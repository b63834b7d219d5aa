package tidings

import (
	"bytes"
	"encoding/json"
	"strings"
)

// Features says what a message has besides its text, a bit each. They are what people search for with has:.
type Features uint32

// The features. Their values are stored.
const (
	HasLink Features = 1 << iota
	HasFile
	HasImage
	HasVideo
	HasSound
	HasEmbed
	HasPoll
	HasSticker
	HasForward
)

// featureNames are the names that people use, as in has:link.
var featureNames = map[string]Features{
	"link": HasLink, "file": HasFile, "image": HasImage, "video": HasVideo, "sound": HasSound, "embed": HasEmbed,
	"poll": HasPoll, "sticker": HasSticker, "forward": HasForward,
}

// FeatureNamed returns the feature with a name, such as link, file or poll.
func FeatureNamed(name string) (Features, bool) {
	f, ok := featureNames[strings.ToLower(name)]
	return f, ok
}

// wireFeatures names the fields of Discord's message object that tell of features. What is not of the expected kind has none.
type wireFeatures struct {
	Attachments json.RawMessage `json:"attachments"`
	Embeds      json.RawMessage `json:"embeds"`
	Poll        json.RawMessage `json:"poll"`
	Stickers    json.RawMessage `json:"sticker_items"`
	Snapshots   json.RawMessage `json:"message_snapshots"`
}

func (w *wireFeatures) features(content string) (f Features) {
	if strings.Contains(content, "http://") || strings.Contains(content, "https://") {
		f |= HasLink
	}
	for _, list := range []struct {
		raw json.RawMessage
		has Features
	}{{w.Attachments, HasFile}, {w.Embeds, HasEmbed}, {w.Stickers, HasSticker}, {w.Snapshots, HasForward}} {
		if raw := bytes.TrimSpace(list.raw); len(raw) > 2 && raw[0] == '[' && len(bytes.TrimSpace(raw[1:len(raw)-1])) > 0 {
			f |= list.has
		}
	}
	if raw := bytes.TrimSpace(w.Poll); len(raw) > 0 && raw[0] == '{' {
		f |= HasPoll
	}
	if f&HasFile == 0 {
		return f
	}
	var files []struct {
		Type any `json:"content_type"`
	}
	if json.Unmarshal(w.Attachments, &files) != nil {
		return f
	}
	for _, file := range files {
		kind, _ := file.Type.(string)
		switch kind, _, _ := strings.Cut(kind, "/"); kind {
		case "image":
			f |= HasImage
		case "video":
			f |= HasVideo
		case "audio":
			f |= HasSound
		}
	}
	return f
}
