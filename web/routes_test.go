package web

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
)

// routed is a route that the API's description does not name, and what it answers: to nobody in particular, to a member who may not read the
// channel, to one who may, and to an operator. 0: its own tests say.
type routed struct {
	path                                 string
	anonymous, outside, member, operator int
}

// everyRoute lists all routes beside those of the API's description. CHANNEL is one that only officers may read.
var everyRoute = map[string]routed{
	"GET /{$}":                        {"/", 401, 200, 200, 200},
	"GET /c/{channel}":                {"/c/CHANNEL", 401, 404, 200, 404},
	"GET /search":                     {"/search?q=in:CHANNEL", 401, 200, 200, 200},
	"GET /saved":                      {"/saved", 401, 200, 200, 200},
	"GET /settings":                   {"/settings", 401, 200, 200, 200},
	"GET /offline":                    {"/offline", 200, 200, 200, 200},
	"/":                               {"/there/never/was", 404, 404, 404, 404},
	"GET /login":                      {"/login", 303, 303, 303, 303},
	"GET /login/callback":             {"/login/callback?code=1&state=2", 400, 400, 400, 400},
	"POST /logout":                    {}, // TestLogout; it ends the session of who asks
	"GET /api":                        {"/api", 200, 200, 200, 200},
	"GET /api/live":                   {}, // TestEveryEndpointForEverybody
	"/api/":                           {"/api/there/never/was", 404, 404, 404, 404},
	"GET /status":                     {"/status", 401, 403, 403, 200},
	"GET /admin":                      {"/admin", 401, 403, 403, 200},
	"GET /admin/servers/{guild}":      {"/admin/servers/500", 401, 404, 404, 200},
	"GET /admin/jobs":                 {"/admin/jobs", 401, 403, 403, 200},
	"GET /admin/people":               {"/admin/people", 401, 403, 403, 200},
	"GET /admin/audit":                {"/admin/audit", 401, 403, 403, 200},
	"GET /admin/me":                   {"/admin/me", 401, 200, 200, 200},
	"POST /admin/do":                  {}, // TestAdminPages
	"POST /webhooks/discord/{source}": {}, // by its signature alone: TestWebhooks
	"GET /feeds/{file}":               {"/feeds/there-never-was.atom", 404, 404, 404, 404},
	"GET /healthz":                    {"/healthz", 200, 200, 200, 200},
	"GET /readyz":                     {"/readyz", 200, 200, 200, 200},
	"GET /metrics":                    {}, // is there only where it is wanted, and public then
	"GET /static/{version}/{file...}": {"/static/x/app.css", 200, 200, 200, 200},
	"GET /favicon.ico":                {"/favicon.ico", 200, 200, 200, 200},
	"GET /icon.svg":                   {"/icon.svg?unread=3", 200, 200, 200, 200},
	"GET /manifest.webmanifest":       {"/manifest.webmanifest", 200, 200, 200, 200},
	"GET /worker.js":                  {"/worker.js", 200, 200, 200, 200},
	"GET /robots.txt":                 {"/robots.txt", 200, 200, 200, 200},
}

// everyOp lists the operations of the live socket that somebody can ask; those about channels are asked by operateSocket.
var everyOp = []string{"here", "ping", "read", "sync", "unwatch", "watch"}

// registered reads the patterns of all routes from the sources, so that one cannot be left out.
func registered(t *testing.T) (patterns []string) {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			if sel, ok := call.Fun.(*ast.SelectorExpr); ok && (sel.Sel.Name == "HandleFunc" || sel.Sel.Name == "Handle") && len(call.Args) == 2 {
				patterns = append(patterns, textOf(t, call.Args[0]))
			}
			return true
		})
	}
	return patterns
}

func textOf(t *testing.T, e ast.Expr) string {
	t.Helper()
	switch e := e.(type) {
	case *ast.BasicLit:
		s, err := strconv.Unquote(e.Value)
		if err != nil {
			t.Fatal(err)
		}
		return s
	case *ast.BinaryExpr:
		return textOf(t, e.X) + textOf(t, e.Y)
	case *ast.Ident:
		if e.Name == "feedsPath" {
			return feedsPath
		}
	}
	t.Fatalf("a route is written as %T: write it as a text", e)
	return ""
}

// without takes the ids out that only repeat what was asked.
func without(body string, c discord.ChannelID) string {
	return strings.NewReplacer("/c/"+c.String(), "", "%2Fc%2F"+c.String(), "", "in:"+c.String(), "", "in%3A"+c.String(), "", "in%3a"+c.String(), "").Replace(body)
}

// TestEveryRouteForEverybody holds that nobody adds a route, or an operation of the socket, without saying who may ask it.
func TestEveryRouteForEverybody(t *testing.T) {
	t.Parallel()
	found := registered(t)
	for _, p := range found {
		if _, ok := everyRoute[p]; !ok {
			t.Errorf("%s is not in everyRoute: say what it answers to whom", p)
		}
	}
	for p := range everyRoute {
		if !slices.Contains(found, p) {
			t.Errorf("%s is in everyRoute and is no route", p)
		}
	}
	source, err := os.ReadFile("../hub/ops.go")
	if err != nil {
		t.Fatal(err)
	}
	_, act, _ := strings.Cut(string(source), ") act(")
	var ops []string
	for line := range strings.Lines(act) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), `case "`); ok {
			ops = append(ops, strings.TrimSuffix(name, `":`))
		}
	}
	if slices.Sort(ops); !slices.Equal(ops, everyOp) {
		t.Errorf("the socket's operations are %v, want %v: say here and in operateSocket who may ask them", ops, everyOp)
	}

	w := newWhole(t)
	read := tidings.Permissions(1<<10 | 1<<16)
	w.barrier(tidings.ChannelSeen{Channel: tidings.Channel{ID: bridge, Guild: harbour, Name: "cellar", Overwrites: []tidings.Overwrite{
		{ID: discord.Snowflake(harbour), Type: tidings.OverwriteRole, Deny: read}, {ID: discord.Snowflake(officer), Type: tidings.OverwriteRole, Allow: read}}}})
	w.person(26, true, nil, "read")
	w.person(operator, false, nil, "read")
	w.say(bridge, bob, "the treasure is here", "{}")
	w.eventually("the member sees it", func() bool {
		_, _, err := readable(w.access.Visible(ada), bridge)
		return err == nil
	})
	cookie := func(u discord.UserID) []string { return []string{"Cookie", sessionOf(t, w.store, u)[0].String()} }
	people := []struct {
		name   string
		header []string
		want   func(r routed) int
	}{
		{"nobody", nil, func(r routed) int { return r.anonymous }},
		{"who may not read it", cookie(26), func(r routed) int { return r.outside }},
		{"who may", cookie(ada), func(r routed) int { return r.member }},
		{"an operator", cookie(operator), func(r routed) int { return r.operator }},
	}
	for pattern, r := range everyRoute {
		if r.path == "" {
			continue
		}
		method, _, named := strings.Cut(pattern, " ")
		if !named {
			method = "GET"
		}
		for _, p := range people {
			fill := func(c discord.ChannelID) string { return strings.ReplaceAll(r.path, "CHANNEL", c.String()) }
			status, body, _ := ask(t, newBrowser(t), method, w.base+fill(bridge), "", p.header...)
			if want := p.want(r); status != want {
				t.Errorf("%s: %s %s = %d, want %d: %.200s", p.name, method, r.path, status, want, body)
			}
			if p.name == "nobody" || p.name == "who may not read it" {
				if strings.Contains(body, "cellar") || strings.Contains(body, "treasure is") {
					t.Errorf("%s: %s %s tells of the channel", p.name, method, r.path)
				}
				// To the byte the same as for a channel that there never was.
				const never = discord.ChannelID(598)
				again, other, _ := ask(t, newBrowser(t), method, w.base+fill(never), "", p.header...)
				if strings.Contains(r.path, "CHANNEL") && (again != status || without(body, bridge) != without(other, never)) {
					t.Errorf("%s: %s %s = %d, and of a channel that there never was %d, or other words\n%s\n%s", p.name, method, r.path, status, again, body, other)
				}
			}
		}
	}
}
