package main

import (
	"context"
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

	first, second := browsertest.Open(t, s.url), browsertest.Open(t, s.url)
	for _, b := range []context.Context{first, second} {
		browsertest.Do(t, b, chromedp.Navigate(s.url+"/login"))
		browsertest.Until(t, b, `location.pathname === '/oauth2/authorize'`)
		browsertest.Do(t, b, chromedp.Click(chromedp.CSS(fmt.Sprintf(`button[name="user_id"][value="%s"]`, reader.ID))))
		browsertest.Until(t, b, `location.origin === '`+s.url+`' && document.body?.dataset.status === 'live'`)
		browsertest.Until(t, b, `document.title === 'Tidings'`)
		browsertest.Do(t, b, evaluate(`window.untouched = true`)) // a reload would lose it
	}

	discord.Say(owner, general, "The tide is <@"+reader.ID+"> high")
	discord.Say(owner, general, "and it falls at noon")
	// The first of them opens the channel, and is called after it then.
	titled := func(count string) string {
		return `'` + count + `' + (location.pathname === '/' ? '' : '#general · ') + 'Tidings'`
	}
	badge := `document.querySelector('[data-open="` + general + `"] .badges')?.innerText.replace(/\s+/g, ' ').trim()`
	for _, b := range []context.Context{first, second} {
		browsertest.Until(t, b, `document.title === '(2) Tidings'`)
		browsertest.Until(t, b, badge+` === '@1 2'`)
	}

	browsertest.Do(t, first, chromedp.Click(chromedp.CSS(`nav [data-open="`+general+`"]`)))
	browsertest.Until(t, first, `location.pathname === '/c/`+general+`'`)
	browsertest.Until(t, first, `[...document.querySelectorAll('article.message')].some(m => m.innerText.includes('and it falls at noon'))`)
	for _, b := range []context.Context{first, second} {
		browsertest.Until(t, b, `document.title === `+titled(""))
		browsertest.Until(t, b, `!(`+badge+`)`)
		browsertest.Until(t, b, `window.untouched === true`)
	}

	// What is being looked at is read as it comes, here and there; a deleted message leaves both.
	discord.Say(owner, guild.Channel("tides"), "elsewhere")
	for _, b := range []context.Context{first, second} {
		browsertest.Until(t, b, `document.title === `+titled("(1) "))
	}
	m := discord.Say(owner, guild.Channel("tides"), "said by mistake")
	for _, b := range []context.Context{first, second} {
		browsertest.Until(t, b, `document.title === `+titled("(2) "))
	}
	discord.Must(owner.Token, "DELETE", fmt.Sprintf("/channels/%s/messages/%s", guild.Channel("tides"), m["id"]), nil, nil)
	for _, b := range []context.Context{first, second} {
		browsertest.Until(t, b, `document.title === `+titled("(1) "))
	}
}

func evaluate(script string) chromedp.Action[chromedp.Void] {
	return chromedp.Evaluate[chromedp.Void](`void (` + script + `)`)
}
