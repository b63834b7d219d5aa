package client_test

import (
	"strings"
	"testing"

	"tidings/hub/client"
)

func TestCheckerNamesTheBrokenPromise(t *testing.T) {
	t.Parallel()
	const (
		hello    = `{"op":"hello","resumed":false}`
		again    = `{"op":"hello","resumed":true}`
		snapshot = `{"op":"snapshot","unread":{"guilds":[{"channels":[{"id":"1","version":5},{"id":"2","version":9}]}]}}`
		six      = `{"op":"delta","c":"1","v":6,"k":"create"}`
		seven    = `{"op":"delta","c":"1","v":7,"k":"create"}`
		eight    = `{"op":"delta","c":"1","v":8,"k":"create"}`
	)
	for _, tt := range []struct {
		name, want string // what the last frame breaks; "" for nothing
		frames     []string
	}{
		{"in order", "", []string{hello, snapshot, six, `{"op":"message","c":"1","v":6}`, seven, `{"op":"count","c":"2"}`, `{"op":"pong"}`}},
		{"a hole", "hole", []string{hello, snapshot, seven}},
		{"a reset", "", []string{hello, snapshot, `{"op":"delta","c":"1","v":9,"k":"reset"}`}},
		{"a repeat", "version 6 of channel 1 after 6", []string{hello, snapshot, six, six}},
		{"the snapshot's", "after 5", []string{hello, snapshot, `{"op":"delta","c":"1","v":5,"k":"create"}`}},
		{"a repeat by a reset", "after 6", []string{hello, snapshot, six, `{"op":"delta","c":"1","v":6,"k":"reset"}`}},
		{"a stranger's", "may not be seen", []string{hello, snapshot, `{"op":"delta","c":"3","v":1,"k":"create"}`}},
		{"a stranger's message", "may not be seen", []string{hello, snapshot, `{"op":"message","c":"3","v":1}`}},
		{"a stranger's mark", "may not be seen", []string{hello, snapshot, `{"op":"read","channels":[{"c":"1"},{"c":"3"}]}`}},
		{"a message before its delta", "before its delta", []string{hello, snapshot, `{"op":"message","c":"1","v":6}`}},
		{"gained", "", []string{hello, snapshot, `{"op":"access","gained":["3"]}`, `{"op":"delta","c":"3","v":4,"k":"create"}`}},
		{"lost", "may not be seen", []string{hello, snapshot, `{"op":"access","lost":["1"]}`, six}},
		{"too early", "before the snapshot", []string{hello, six}},
		{"not resumed", "before the snapshot", []string{hello, snapshot, six, hello, seven}},
		{"resumed", "", []string{hello, snapshot, six, seven, again, seven, eight}},
		{"resumed, a hole", "hole", []string{hello, snapshot, six, again, eight}},
		{"resumed, then a repeat", "after 7", []string{hello, snapshot, six, again, seven, seven}},
		{"resumed from nothing", "no snapshot", []string{again}},
	} {
		var c client.Checker
		for i, f := range tt.frames {
			err := c.Check(client.Event{Frame: []byte(f)})
			switch last := i == len(tt.frames)-1; {
			case err != nil && (!last || tt.want == ""):
				t.Errorf("%s: Check(%s) = %v", tt.name, f, err)
			case last && tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("%s: Check(%s) = %v, want one with %q", tt.name, f, err, tt.want)
			}
		}
	}
}
