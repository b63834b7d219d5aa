package store

import (
	"bytes"
	"encoding/json"
	"testing"
)

// FuzzPayload holds every change of a payload to what its readers rely on: it takes any JSON without harm, and what comes
// out is an object that says what the change says.
func FuzzPayload(f *testing.F) {
	f.Add([]byte(`{"id":"1","content":"a","embeds":[],"reactions":[{"count":2,"emoji":{"id":null,"name":"x"}}]}`), []byte(`{"embeds":[{"title":"t"}]}`), "x")
	f.Add([]byte(`{"poll":{"results":{"answer_counts":[{"id":1,"count":3}]}}}`), []byte(`{"poll":{"question":1}}`), "blob:7")
	f.Add([]byte(`null`), []byte(`{}`), "")
	f.Add([]byte(`{"reactions":[null],"poll":[],"embeds":null}`), []byte(`[]`), ":")
	f.Add([]byte(`{"reactions":{"a":1},"poll":{"results":{"answer_counts":[null,{"id":"1"}]}}}`), []byte(`{"poll":null,"embeds":{}}`), "a:")
	f.Fuzz(func(t *testing.T, stored, patch []byte, emoji string) {
		object := func(out []byte, err error) map[string]json.RawMessage {
			if err != nil {
				return nil
			}
			if len(out) == 0 { // of what was blanked; it is read as an object without fields
				return map[string]json.RawMessage{}
			}
			var o map[string]json.RawMessage
			if err := json.Unmarshal(out, &o); err != nil {
				t.Fatalf("%s and %s give %s: %v", stored, patch, out, err)
			}
			return o
		}
		var named map[string]json.RawMessage
		if json.Unmarshal(patch, &named) == nil {
			merged := object(mergePayload(stored, patch))
			for k, v := range named {
				if merged != nil && !sameJSON(merged[k], v) {
					t.Errorf("merging %s into %s gives %s %s", patch, stored, k, merged[k])
				}
			}
		}
		object(replacePayload(stored, patch))
		for _, keep := range []bool{true, false} {
			if out, news, err := mergeEmbeds(stored, patch, keep); news {
				if o := object(out, err); !sameJSON(o["embeds"], named["embeds"]) {
					t.Errorf("the embeds of %s merged into %s are %s", patch, stored, o["embeds"])
				}
			}
		}
		if emoji = clean(emoji); emoji != "" {
			if out, news, err := countEmoji(stored, emoji, 1); news {
				object(out, err)
				if back, news, err := countEmoji(out, emoji, -1); !news || err != nil {
					t.Errorf("%q was added to %s and cannot be taken from %s: %s, %v", emoji, stored, out, back, err)
				}
			}
		}
		if out, news, err := dropEmoji(stored, emoji); news {
			object(out, err)
			if _, again, _ := dropEmoji(out, emoji); again {
				t.Errorf("dropping %q from %s twice changes it twice", emoji, stored)
			}
		}
		if out, news, err := countVote(stored, 1, 1); news {
			object(out, err)
		}
		if sameJSON(stored, patch) != sameJSON(patch, stored) || (json.Valid(stored) && !sameJSON(stored, bytes.TrimSpace(stored))) {
			t.Errorf("sameJSON(%s, %s) depends on order or white space", stored, patch)
		}
	})
}
