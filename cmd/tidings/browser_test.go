package main

import (
	"fmt"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"tidings/sim"
	"tidings/sim/simtest"
	"tidings/web/browsertest"
)

// The promise as a person sees it: sign in through the OAuth2 page, see counts, somebody posts, the count rises without a
// reload, open the channel, it falls, and falls in a second browser of the same person too.
func TestCountsMoveInTwoBrowsersOfOnePerson(t *testing.T) {
	discord := simtest.Start(t, sim.Options{})
	owner, reader := discord.Person("owner"), discord.Person("reader")
	guild := discord.Guild("Harbour", owner, []simtest.Person{reader}, []string{"general", "tides"}, nil)
	general := guild.Channel("general")
	c := configFor(t, discord)
	s := start(t, c)
	me := credential{token: makeToken(t, c, reader.ID)}
	eventually(t, "the service knows the channels", 20*time.Second, func() bool { return len(s.unread(me).channels()) == 2 })

	first, second := browsertest.Open(t), browsertest.Open(t)
	for _, b := range []*browsertest.Tab{first, second} {
		b.Do(chromedp.Navigate(s.url + "/login"))
		b.Until(`location.pathname === '/oauth2/authorize'`)
		b.Do(chromedp.Click(chromedp.CSS(fmt.Sprintf(`button[name="user_id"][value="%s"]`, reader.ID))))
		b.Until(`location.origin === '` + s.url + `' && document.body?.dataset.status === 'live'`)
		b.Until(`document.title === 'Tidings'`)
		b.Do(evaluate(`window.untouched = true`)) // a reload would lose it
	}

	discord.Say(owner, general, "The tide is <@"+reader.ID+"> high")
	discord.Say(owner, general, "and it falls at noon")
	badge := `document.querySelector('[data-open="` + general + `"] .badges')?.innerText.replace(/\s+/g, ' ').trim()`
	for _, b := range []*browsertest.Tab{first, second} {
		b.Until(`document.title === '(2) Tidings'`)
		b.Until(badge + ` === '@1 2'`)
	}

	first.Do(chromedp.Click(chromedp.CSS(`nav [data-open="` + general + `"]`)))
	first.Until(`location.pathname === '/c/` + general + `'`)
	first.Until(`[...document.querySelectorAll('article.message')].some(m => m.innerText.includes('and it falls at noon'))`)
	for _, b := range []*browsertest.Tab{first, second} {
		b.Until(`document.title === 'Tidings'`)
		b.Until(`!(` + badge + `)`)
		b.Until(`window.untouched === true`)
	}

	// What is being looked at is read as it comes, here and there; a deleted message leaves both.
	discord.Say(owner, guild.Channel("tides"), "elsewhere")
	for _, b := range []*browsertest.Tab{first, second} {
		b.Until(`document.title === '(1) Tidings'`)
	}
	m := discord.Say(owner, guild.Channel("tides"), "said by mistake")
	for _, b := range []*browsertest.Tab{first, second} {
		b.Until(`document.title === '(2) Tidings'`)
	}
	discord.Must(owner.Token, "DELETE", fmt.Sprintf("/channels/%s/messages/%s", guild.Channel("tides"), m["id"]), nil, nil)
	for _, b := range []*browsertest.Tab{first, second} {
		b.Until(`document.title === '(1) Tidings'`)
	}
}

func evaluate(script string) chromedp.Action[chromedp.Void] {
	return chromedp.Evaluate[chromedp.Void](`void (` + script + `)`)
}
