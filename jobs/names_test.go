package jobs_test

import (
	"encoding/json"
	"strconv"
	"testing"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
	"tidings/render"
)

// A process hears of a message before it hears that a channel was shut that is mentioned in it.
func TestNoNameIsToldByRightsThatAreOld(t *testing.T) {
	t.Parallel()
	p := newPhone(t, true)
	names := func(set *tidings.VisibleSet) *render.Names {
		return render.NewNames(set, func(discord.GuildID) (*tidings.GuildState, bool) { return nil, false })
	}
	p.push.Brief = func(set *tidings.VisibleSet, m tidings.Message) (string, string) {
		return "Bob", render.Excerpt(m, names(set))
	}
	p.out.Visible, p.out.Confirm = p.named, p.confirmNamed
	p.out.Encode = func(set *tidings.VisibleSet, m tidings.Message) ([]byte, error) {
		return json.Marshal(render.Excerpt(m, names(set)))
	}
	last := func(want string) {
		t.Helper()
		if err := p.send(); err != nil {
			t.Fatal(err)
		}
		if got := p.told(); got[len(got)-1] != "mention "+strconv.Quote(want) {
			t.Errorf("the webhook is told %q, want %q", got, want)
		}
	}
	p.say(501, 9, "to <#502>, <@7>", mentionsAda)
	p.want("an open channel", p.look(), "Bob · #deck · Harbour: to #bridge, @ada")
	last("to #bridge, @ada")

	p.say(501, 9, "again to <#502>, <@7>", mentionsAda)
	p.unheard = []discord.ChannelID{501}
	p.want("one that was shut", p.look(), "Bob · #deck · Harbour: again to #channel, @ada")
	p.sees, p.unheard = []discord.ChannelID{501, 502}, []discord.ChannelID{501} // once more, for the webhook
	p.epoch++
	last("again to #channel, @ada")
}
