package hub

import (
	"bytes"
	"reflect"
	"testing"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
)

func envelopes() []envelope {
	d := &delta{guild: 1, channel: 2, version: 3, accessVersion: 4, frame: textFrame([]byte(`{"op":"delta"}`))}
	withMessage := *d
	withMessage.message = textFrame(bytes.Repeat([]byte("m"), 70_000))
	withMessage.bind()
	return []envelope{
		{publisher: 1<<63 + 5, seq: 9, kind: kindDelta, delta: d},
		{publisher: 1, seq: 1 << 40, kind: kindDelta, delta: &withMessage},
		{publisher: 1, seq: 2, kind: kindAccess, access: tidings.AccessChange{Guild: 1, Version: 2, Users: []discord.UserID{3, 4}}},
		{publisher: 1, seq: 2, kind: kindAccess, access: tidings.AccessChange{Guild: 1, Version: 2}},
		{publisher: 1, seq: 3, kind: kindRead, read: tidings.ReadResult{User: 1, Rev: 2, Channels: []tidings.ReadChannel{
			{ID: 1, Version: 2, ReadID: 3, Unread: 4, Mentions: 5, FirstUnread: 6, LastID: 7}, {ID: 1 << 62},
		}}},
		{publisher: 1, seq: 4, kind: kindEnd, session: keyOf("secret")},
		{publisher: 1, seq: 5, kind: kindLost},
		{publisher: 1, seq: 6, kind: kindRecovered, delta: &delta{
			guild: 1, channel: 2, accessVersion: 4, frame: recoveredFrame(tidings.Recovered{Guild: 1, Channel: 2, From: 3, To: 4, N: 5}),
		}},
	}
}

func TestEnvelopesComeBackAsTheyWere(t *testing.T) {
	t.Parallel()
	for _, e := range envelopes() {
		b := e.encode()
		got, err := decodeEnvelope(b)
		if err != nil || !reflect.DeepEqual(got, e) {
			t.Errorf("decodeEnvelope(encode(%+v)) = %+v, %v", e, got, err)
		}
		for n := range min(len(b), 200) {
			if _, err := decodeEnvelope(b[:n]); err == nil {
				t.Errorf("kind %d cut to %d of %d bytes is taken", e.kind, n, len(b))
			}
		}
		if _, err := decodeEnvelope(append(b, 0)); err == nil {
			t.Errorf("kind %d with a byte too many is taken", e.kind)
		}
	}
	if bytes.Contains(envelope{kind: kindEnd, session: keyOf("secret")}.encode(), []byte("secret")) {
		t.Error("a session's token is on the bus")
	}
}

func FuzzDecodeEnvelope(f *testing.F) {
	for _, e := range envelopes() {
		f.Add(e.encode())
	}
	f.Add([]byte{wireVersion, kindAccess, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 0xff, 0xff, 0xff, 0x7f})
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := decodeEnvelope(b)
		if err != nil {
			return
		}
		again, err := decodeEnvelope(e.encode())
		if err != nil || !reflect.DeepEqual(again, e) {
			t.Fatalf("%x: %+v becomes %+v, %v", b, e, again, err)
		}
	})
}

// Whoever writes a client reads what is wrong with a frame.
func TestAWrongFrameIsToldWhatItMustBe(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		`[]`: "a frame must be an object", `{"op":"read","rev":"x"}`: `"rev" must be a whole number`, `{"op":"read","channel":"1","up_to":"2","rev":-1}`: `"rev" cannot be negative`, `{"op":5}`: `"op" must be a string`,
		`{"op":"sync","channels":[1]}`: `"channels" must be a list of ids, which are strings`, `{"op":"read","channel":1}`: `"channel" must be an id, which is a string`,
	} {
		if _, _, wrong, err := parseOp(line); err != nil || wrong != want {
			t.Errorf("parseOp(%s) = %q, %v, want %q", line, wrong, err, want)
		}
	}
}

func FuzzParseOp(f *testing.F) {
	for _, s := range []string{
		`{"op":"watch","channels":["1","2"]}`, `{"op":"watch","all":true}`, `{"op":"read","channel":"1","up_to":"2","rev":3}`,
		`{"op":"sync","channels":[1]}`, `{"op":5}`, `null`, `[]`, `{"op":"sync","channels":["18446744073709551615"]}`, `{`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		o, ids, wrong, err := parseOp(line)
		if err != nil || wrong != "" {
			return
		}
		if len(ids) > maxListed {
			t.Fatalf("%d channels pass", len(ids))
		}
		for _, id := range ids {
			if int64(id) <= 0 {
				t.Fatalf("id %d passes", id)
			}
		}
		if o.Op == "read" && len(ids) != 1 {
			t.Fatalf("read names %v", ids)
		}
	})
}

func TestFrameHeadersFitTheirLength(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 125, 126, 65535, 65536, 100_000} {
		f := textFrame(bytes.Repeat([]byte("x"), n))
		if len(f.body()) != n || len(f.b) != n+f.head {
			t.Errorf("frame of %d bytes has a body of %d and %d bytes in all", n, len(f.body()), len(f.b))
		}
	}
	if n := len(closeBytes(4008, string(bytes.Repeat([]byte("x"), 200)))); n > 129 {
		t.Errorf("close frame of %d bytes", n)
	}
}

func FuzzDecodeEntry(f *testing.F) {
	f.Add(entry{pos: 7, full: true, versions: map[discord.ChannelID]int64{1: 2, 1 << 60: 3}}.encode())
	f.Add([]byte{wireVersion, 0, 1, 0xff, 0xff, 0x7f})
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := decodeEntry(b)
		if err != nil {
			return
		}
		again, err := decodeEntry(e.encode())
		if err != nil || !reflect.DeepEqual(again, e) {
			t.Fatalf("%x: %+v becomes %+v, %v", b, e, again, err)
		}
	})
}

func FuzzParseCursor(f *testing.F) {
	f.Add(cursor{"0123456789abcdef", 5, 6, 7}.String())
	f.Add("2.0123456789abcdef.-1.0.0")
	f.Fuzz(func(t *testing.T, s string) {
		c, ok := parseCursor(s)
		if !ok {
			return
		}
		if again, ok := parseCursor(c.String()); !ok || again != c || c.pos < 0 || c.rev < 0 {
			t.Fatalf("%q: %+v becomes %+v, %v", s, c, again, ok)
		}
	})
}
