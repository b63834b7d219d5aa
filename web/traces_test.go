package web

import (
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
	"tidings/embedded/testdb"
)

// relay stands between the service and Postgres and counts the bytes that pass.
type relay struct {
	asked, answered atomic.Int64
}

// relayed returns the URL of an empty schema behind a relay.
func relayed(t *testing.T) (string, *relay) {
	t.Helper()
	u, err := url.Parse(testdb.Postgres(t))
	if err != nil {
		t.Fatal(err)
	}
	network, address := "tcp", u.Host
	if dir := u.Query().Get("host"); strings.HasPrefix(dir, "/") {
		port := u.Query().Get("port")
		if port == "" {
			port = "5432"
		}
		network, address = "unix", filepath.Join(dir, ".s.PGSQL."+port)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{}
	var copying sync.WaitGroup
	pass := func(to, from net.Conn, n *atomic.Int64) {
		buf := make([]byte, 64<<10)
		for {
			k, err := from.Read(buf)
			n.Add(int64(k))
			if _, bad := to.Write(buf[:k]); err != nil || bad != nil {
				to.Close()
				from.Close()
				return
			}
		}
	}
	copying.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s, err := net.Dial(network, address)
			if err != nil {
				c.Close()
				continue
			}
			copying.Go(func() { pass(s, c, &r.asked) })
			copying.Go(func() { pass(c, s, &r.answered) })
		}
	})
	t.Cleanup(func() { l.Close(); copying.Wait() })
	q := u.Query()
	q.Del("host")
	q.Del("port")
	u.Host, u.RawQuery = l.Addr().String(), q.Encode()
	return u.String(), r
}

// TestWhatIsHiddenCostsWhatIsNotThere: the time that an answer takes tells nobody that there is something, because for whom may not see it the same
// is done as for what there never was: to the byte the same is asked of the database, and comes back.
func TestWhatIsHiddenCostsWhatIsNotThere(t *testing.T) {
	t.Parallel()
	database, passed := relayed(t)
	w := newWholeOn(t, database)
	read := tidings.Permissions(1<<10 | 1<<16)
	w.barrier(tidings.ChannelSeen{Channel: tidings.Channel{ID: bridge, Guild: harbour, Name: "cellar", Overwrites: []tidings.Overwrite{
		{ID: discord.Snowflake(harbour), Type: tidings.OverwriteRole, Deny: read}, {ID: discord.Snowflake(officer), Type: tidings.OverwriteRole, Allow: read}}}})
	w.barrier(tidings.ChannelSeen{Channel: tidings.Channel{ID: cabin, Guild: harbour, Parent: deck, Type: tidings.ChannelPrivateThread, Name: "cellar"}})
	w.barrier(tidings.ThreadMembersChanged{Thread: cabin, Added: []discord.UserID{ada}})
	for range 20 {
		w.say(bridge, bob, "the treasure is here", `{"mention_everyone":true}`)
	}
	hidden := map[discord.ChannelID]discord.MessageID{bridge: w.say(bridge, bob, "the treasure is here", "{}"), cabin: w.say(cabin, bob, "the treasure is here", "{}")}
	// outsider is somebody new each time, because some operations may be asked for a few times an hour only.
	var outsider string
	next := discord.UserID(100)
	another := func() {
		next++
		outsider = w.person(next, true, nil, "read", "ack")
		w.eventually("the outsider sees the deck", func() bool {
			_, _, err := readable(w.access.Visible(next), deck)
			return err == nil
		})
	}

	// cost is the least of some times, because the service has work of its own beside it.
	cost := func(method, path, body string) (status int, cost string) {
		var asked, answered int64 = 1 << 40, 1 << 40
		for range 4 {
			a, b := passed.asked.Load(), passed.answered.Load()
			status, _, _ = ask(t, newBrowser(t), method, w.base+path, body, "Authorization", "Bearer "+outsider)
			asked, answered = min(asked, passed.asked.Load()-a), min(answered, passed.answered.Load()-b)
		}
		return status, fmt.Sprintf("%d bytes asked and %d answered", asked, answered)
	}
	const never = "599"
	tried := 0
	for _, e := range matrix {
		if !strings.Contains(e.path+e.body, "CHANNEL") && !strings.Contains(e.path+e.body, "MESSAGE") || e.scope != "read" && e.scope != "ack" {
			continue
		}
		tried++
		for c, id := range hidden {
			another()
			if len(c.String()) != len(never) {
				t.Fatalf("%d is not as long as %s", c, never)
			}
			// One digit less in the middle of the time: an id that nothing has.
			other := []byte(id.String())
			other[len(other)/2] = '0' + (other[len(other)/2]-'0'+5)%10
			at := strings.NewReplacer("CHANNEL", c.String(), "MESSAGE", id.String())
			nowhere := strings.NewReplacer("CHANNEL", never, "MESSAGE", string(other))
			cost(e.method, nowhere.Replace(e.path), nowhere.Replace(e.body)) // fills what is kept
			status, got := cost(e.method, at.Replace(e.path), at.Replace(e.body))
			status2, want := cost(e.method, nowhere.Replace(e.path), nowhere.Replace(e.body))
			if status != status2 || got != want {
				t.Errorf("%s %s of the hidden %d: %d, %s; of what is not there: %d, %s", e.method, e.path, c, status, got, status2, want)
			}
		}
	}
	if tried < 15 {
		t.Errorf("only %d operations name a channel", tried)
	}
	// That the relay would notice.
	if _, got := cost("GET", "/api/messages?channel="+deck.String(), ""); strings.HasPrefix(got, "0 bytes") {
		t.Errorf("a page that may be read cost the database %s", got)
	}
}
