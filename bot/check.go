package bot

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"tidings"
)

// Permissions are what the bot needs in every channel that it is to read: VIEW_CHANNEL, without which Discord sends
// nothing; READ_MESSAGE_HISTORY, without which pages come empty and gaps cannot be healed; and CONNECT, without which the
// text of voice and stage channels cannot be fetched. It needs none that change anything.
//
// Private threads show only with MANAGE_THREADS or to members; whoever wants them all grants that by hand.
const Permissions = 1<<10 | 1<<16 | 1<<20

// Finding is one thing that `tidings check` has looked at.
type Finding struct {
	OK   bool   `json:"ok"`
	What string `json:"what"`
	Todo string `json:"todo,omitempty"` // what an operator does about it
}

// CheckOptions says what to check. ClientID and ClientSecret may be empty: then signing in is not set up, which is a finding.
type CheckOptions struct {
	Token        string
	ClientID     string
	ClientSecret string
	URL          string
	HTTP         *http.Client
}

// InviteURL is where somebody who may manage a server adds the bot to it.
func InviteURL(base, clientID string) string {
	if base == "" {
		base = DefaultURL
	}
	return strings.TrimRight(base, "/") + "/oauth2/authorize?" + url.Values{
		"client_id": {clientID}, "scope": {"bot"}, "permissions": {strconv.Itoa(Permissions)},
	}.Encode()
}

// Check asks Discord whether everything is set up. It changes nothing and starts no session.
func Check(ctx context.Context, o CheckOptions) []Finding {
	var found []Finding
	ok := func(format string, args ...any) {
		found = append(found, Finding{OK: true, What: fmt.Sprintf(format, args...)})
	}
	bad := func(todo, format string, args ...any) {
		found = append(found, Finding{What: fmt.Sprintf(format, args...), Todo: todo})
	}
	if strings.TrimSpace(o.Token) == "" {
		bad("Create a bot at "+portal+", copy its token from the page Bot, and set DISCORD_TOKEN.", "no bot token is set")
		return found
	}
	b, err := New(Options{Token: o.Token, URL: o.URL, HTTP: o.HTTP})
	if err != nil {
		bad("Correct DISCORD_TOKEN or DISCORD_URL.", "%v", err)
		return found
	}
	app, err := b.rest.Application(ctx)
	switch {
	case errors.Is(err, tidings.ErrUnauthorized):
		bad("Reset the token at "+portal+", page Bot, and set DISCORD_TOKEN to the new one.", "Discord refuses the bot token")
		return found
	case err != nil:
		bad("Check the network and https://discordstatus.com, then run the check again.", "Discord cannot be asked: %v", err)
		return found
	}
	ok("the bot token is valid: application %q, id %d", app.Name, app.ID)
	if off := app.MissingIntents(); len(off) > 0 {
		bad("Switch on "+strings.Join(off, " and ")+" at "+portal+"/"+app.ID.String()+"/bot, section Privileged Gateway Intents.",
			"privileged intents are switched off: %s", strings.Join(off, ", "))
	} else {
		ok("the privileged intents are switched on")
	}
	checkGateway(ctx, b.rest, ok, bad)
	checkGuilds(ctx, b.rest, InviteURL(o.URL, app.ID.String()), ok, bad)
	checkClient(ctx, o, app, ok, bad)
	return found
}

// noting adds a finding that is as it should be, faulting one that is not.
type (
	noting   func(format string, args ...any)
	faulting func(todo, format string, args ...any)
)

func checkGateway(ctx context.Context, r *REST, ok noting, bad faulting) {
	info, err := r.GatewayInfo(ctx)
	switch {
	case err != nil:
		bad("Run the check again in a minute.", "Discord does not say where the gateway is: %v", err)
	case info.Total > 0 && info.Remaining == 0:
		bad("Find out what starts sessions over and over; Discord allows new ones at "+info.Reset.UTC().Format(time.RFC1123)+".",
			"no session may be started: all %d of the day are used", info.Total)
	default:
		ok("the gateway takes sessions: %d of %d left, %d shards recommended", info.Remaining, info.Total, max(info.Shards, 1))
	}
}

func checkGuilds(ctx context.Context, r *REST, invite string, ok noting, bad faulting) {
	guilds, err := r.Guilds(ctx)
	switch {
	case err != nil:
		bad("Run the check again in a minute.", "the bot's servers cannot be listed: %v", err)
	case len(guilds) == 0:
		bad("Open "+invite+" as somebody who may manage a server, and add the bot.", "the bot is in no server")
	default:
		var names []string
		for i, g := range guilds {
			if i == 10 {
				names = append(names, "…")
				break
			}
			names = append(names, g.Name)
		}
		ok("the bot is in %d servers: %s", len(guilds), strings.Join(names, ", "))
		ok("it is added to another one at %s", invite)
	}
}

func checkClient(ctx context.Context, o CheckOptions, app Application, ok noting, bad faulting) {
	page := portal + "/" + app.ID.String() + "/oauth2"
	if o.ClientID == "" || o.ClientSecret == "" {
		bad("Copy client id and client secret from "+page+" and set DISCORD_CLIENT_ID and DISCORD_CLIENT_SECRET.",
			"nobody can sign in: the client id or secret is not set")
		return
	}
	if o.ClientID != app.ID.String() {
		bad("Set DISCORD_CLIENT_ID to "+app.ID.String()+", or use a bot token of application "+o.ClientID+".",
			"client id and bot token are of different applications")
	}
	oauth, err := NewOAuth(OAuthOptions{ClientID: o.ClientID, ClientSecret: o.ClientSecret, URL: o.URL, HTTP: o.HTTP})
	if err == nil {
		err = oauth.CheckClient(ctx)
	}
	switch {
	case err == nil:
		ok("the client id and secret are valid")
	case errors.Is(err, tidings.ErrUnauthorized):
		bad("Reset the client secret at "+page+" and set DISCORD_CLIENT_SECRET to the new one.", "Discord refuses the client id or secret")
	default:
		bad("Run the check again in a minute.", "the client secret cannot be checked: %v", err)
	}
}
