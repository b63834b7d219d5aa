package sim_test

import (
	"fmt"
	"strconv"
	"testing"

	"tidings/sim"
	"tidings/sim/simtest"
)

func TestReplayIsUntouchedOrderedAndComplete(t *testing.T) {
	t.Parallel()
	r := simtest.Start(t, sim.Options{ReplayEvents: 64})
	g := r.Guild("Chat", r.Person("ada"), nil, nil, nil)
	c, _ := login(t, r, allIntents)
	c.want("GUILD_CREATE")

	var lines []map[string]string
	for i := range 5000 {
		lines = append(lines, map[string]string{"channel": "room " + strconv.Itoa(i%3), "at": "09:14", "nick": fmt.Sprintf("nick|%d", i%40), "text": fmt.Sprintf("  <@%d> **x** \xe2\x80\xa8 @everyone %d \t", i, i)})
	}
	var started struct{ ID string }
	r.Sim200("POST", "/sim/replay", map[string]any{"lines": lines, "guild": g.ID, "rate": 0}, &started)
	last := map[any]uint64{}
	for i := range lines {
		f := c.want("MESSAGE_CREATE")
		if got := f.get(t, "content"); got != lines[i]["text"] {
			t.Fatalf("message %d = %q, want %q", i, got, lines[i]["text"])
		}
		id, _ := strconv.ParseUint(f.get(t, "id").(string), 10, 64)
		ch := f.get(t, "channel_id")
		if id <= last[ch] {
			t.Fatalf("message %d has id %d after %d in its channel", i, id, last[ch])
		}
		last[ch] = id
		if f.get(t, "mention_everyone") == true || len(f.get(t, "mentions").([]any)) > 0 {
			t.Fatalf("message %d mentions somebody", i)
		}
	}
	eventually(t, "the end of the replay", func() bool {
		var st struct {
			Total, Sent int
			Done        bool
		}
		r.Sim200("GET", "/sim/replay/"+started.ID, nil, &st)
		return st.Done && st.Sent == 5000 && st.Total == 5000
	})
}
