package store

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
)

// TestSearchFindsTheSameWhicheverWayItGoes looks through enough messages that common words are found by walking, rare ones by the index, and
// people who see little by looking into their channels.
func TestSearchFindsTheSameWhicheverWayItGoes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	// general has most, random one message in sixteen; the words come round at different rates.
	const messages = 9000
	rates := map[string]int{"often": 2, "weekly": 7, "monthly": 601, "once": messages}
	channel := func(n int) discord.ChannelID {
		if n%16 == 3 {
			return random
		}
		return general
	}
	author := func(n int) discord.UserID { return map[bool]discord.UserID{true: bob, false: alice}[n%90 == 5] }
	says := func(n int, word string) bool { return n%rates[word] == rates[word]/2 }
	w.exec(`
INSERT INTO messages (channel_id, id, author_id, type, content, payload, has, deleted)
SELECT CASE WHEN n % 16 = 3 THEN 1002 ELSE 1001 END, $1::bigint + n, CASE WHEN n % 90 = 5 THEN 7003 ELSE 7002 END, 0,
	concat_ws(' ', 'n' || n, CASE WHEN n % 2 = 1 THEN 'often' END, CASE WHEN n % 7 = 3 THEN 'weekly' END,
		CASE WHEN n % 601 = 300 THEN 'monthly' END, CASE WHEN n = 4500 THEN 'once' END), '{}', (n % 300 = 9)::int, n % 1000 = 1
FROM generate_series(1, $2::int - 1) n`, int64(at(0, 0)), messages)
	w.exec(`INSERT INTO live_buckets (channel_id, day, n) SELECT channel_id, (id >> 22) / 86400000, count(*) FROM messages WHERE NOT deleted GROUP BY 1, 2`)
	w.exec(`ANALYZE messages`)
	narrow := set(me)
	narrow.Guilds[0].Channels = slices.DeleteFunc(narrow.Guilds[0].Channels, func(c tidings.Channel) bool { return c.ID == general })
	for name, s := range map[string]*tidings.VisibleSet{"who sees all": set(me), "who sees little": narrow} {
		for _, words := range []string{"often", "weekly", "monthly", "once", "never", "often weekly", "weekly monthly", `"often weekly"`, `"weekly often"`, "weekly -often",
			"often from:7003", "weekly from:7003", "monthly from:7003", "from:7003", "often has:link", "has:link"} {
			var want []int
			for n := messages - 1; n > 0; n-- {
				ok := n%1000 != 1 && (name == "who sees all" || channel(n) == random)
				for _, term := range strings.Fields(strings.NewReplacer(`"weekly often"`, "never", `"`, "").Replace(words)) {
					switch {
					case term == "never":
						ok = false
					case term == "from:7003":
						ok = ok && author(n) == bob
					case term == "has:link":
						ok = ok && n%300 == 9
					case term[0] == '-':
						ok = ok && !says(n, term[1:])
					default:
						ok = ok && says(n, term)
					}
				}
				if ok {
					want = append(want, n)
				}
			}
			q, err := ParseSearch(words)
			if err != nil {
				t.Fatal(err)
			}
			var got []int
			cursor := ""
			for range 3 {
				p, err := w.Search(t.Context(), s, q, cursor, 60)
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, numbersOf(p)...)
				if cursor = p.Next; cursor == "" {
					break
				}
			}
			if end := min(len(want), 180); !slices.Equal(got, want[:end]) || (cursor == "") != (len(want) <= 180) {
				t.Errorf("%s: %s: %s, want %s", name, words, short(got), short(want[:end]))
			}
		}
	}
}

func short(list []int) string { return fmt.Sprintf("%d: %.80s", len(list), fmt.Sprint(list)) }
