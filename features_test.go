package tidings

import "testing"

func TestFeatures(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, object string
		want         Features
	}{
		{"nothing", `"content":"hello","attachments":[],"embeds":[ ],"poll":null`, 0},
		{"a link", `"content":"see https://example.org"`, HasLink},
		{"a picture", `"attachments":[{"id":"1","content_type":"image/png"}]`, HasFile | HasImage},
		{"a film and a song", `"attachments":[{"content_type":"video/mp4"},{"content_type":"audio/ogg"}]`, HasFile | HasVideo | HasSound},
		{"a file of no known kind", `"attachments":[{"content_type":null},{"content_type":5}]`, HasFile},
		{"an embed", `"embeds":[{}]`, HasEmbed},
		{"a poll", `"poll":{"question":{}}`, HasPoll},
		{"a sticker", `"sticker_items":[{"id":"1"}]`, HasSticker},
		{"a forward", `"message_snapshots":[{"message":{}}]`, HasForward},
		{"of other kinds than expected", `"attachments":{"a":1},"embeds":"x","poll":[1],"sticker_items":7`, 0},
	} {
		m, err := ParseMessage([]byte(`{"id":"1","channel_id":"2","author":{"id":"3"},`+tt.object+`}`), 4)
		if err != nil || m.Has != tt.want {
			t.Errorf("%s: ParseMessage() has %b, %v, want %b", tt.name, m.Has, err, tt.want)
		}
	}
	for name, f := range featureNames {
		if got, ok := FeatureNamed(name); !ok || got != f {
			t.Errorf("FeatureNamed(%q) = %b, %v", name, got, ok)
		}
	}
}
