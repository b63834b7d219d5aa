package web

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers/legacy"
)

// document loads the API's own description, in the version of OpenAPI that the path names.
func document(t *testing.T, base, path string) *openapi3.T {
	t.Helper()
	status, text, _ := ask(t, newBrowser(t), "GET", base+path, "")
	if status != http.StatusOK {
		t.Fatalf("GET %s = %d", path, status)
	}
	doc, err := openapi3.NewLoader().LoadFromData([]byte(text))
	if err != nil {
		t.Fatalf("GET %s: %v", path, err)
	}
	return doc
}

func TestTheDescriptionIsValid(t *testing.T) {
	t.Parallel()
	ts := newWorld(t).serve()
	for _, path := range []string{"/api/openapi.json", "/api/openapi-3.0.json"} {
		doc := document(t, ts.URL, path)
		if err := doc.Validate(context.Background()); err != nil {
			t.Errorf("%s (OpenAPI %s): %v", path, doc.OpenAPI, err)
		}
		for route, item := range doc.Paths.Map() {
			for method, op := range item.Operations() {
				if op.OperationID == "" || op.Summary == "" || op.Security == nil || op.Responses.Value("401") == nil && op.Responses.Default() == nil {
					t.Errorf("%s: %s %s lacks a name, a summary, who may, or its errors", path, method, route)
				}
			}
		}
	}
}

// What is answered is what the description says.
func TestAnswersAreAsDescribed(t *testing.T) {
	t.Parallel()
	w := newWhole(t)
	one := w.say(deck, bob, "**one** <@7>", `{"mentions":[{"id":"7","username":"ada"}]}`)
	w.api("PUT", "/api/mutes/501", `{"minutes":5}`)
	doc := document(t, w.base, "/api/openapi-3.0.json")
	doc.Servers = openapi3.Servers{{URL: w.base}}
	router, err := legacy.NewRouter(doc)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range []struct{ method, path, body string }{
		{"GET", "/api/messages?channel=501", ""}, {"GET", "/api/messages?channel=502", ""}, {"GET", "/api/unread", ""}, {"GET", "/api/unread/verify", ""},
		{"GET", "/api/feed?filter=all&has=link,file", ""}, {"GET", "/api/feed?filter=all", ""}, {"GET", "/api/search?q=one", ""}, {"GET", "/api/guilds", ""},
		{"GET", "/api/channels/501", ""}, {"GET", "/api/me", ""}, {"GET", "/api/status", ""}, {"GET", "/api/mutes", ""}, {"GET", "/api/ignored", ""}, {"GET", "/api/saved", ""},
		{"PUT", fmt.Sprint("/api/saved/501/", one), ""}, {"GET", "/api/saved", ""}, {"PUT", "/api/ignored/55", ""}, {"DELETE", "/api/ignored/55", ""}, {"DELETE", "/api/mutes/501", ""},
		{"POST", "/api/messages/read", fmt.Sprintf(`{"channel":"501","up_to":"%d"}`, one)}, {"POST", "/api/messages/unread", fmt.Sprintf(`{"channel":"501","message":"%d"}`, one)},
		{"POST", "/api/messages/undo", `{"rev":1}`}, {"GET", "/api/channels/999", ""}, {"GET", "/api/feed?filter=none", ""}, {"GET", "/api/tokens", ""},
		{"PUT", "/api/keywords", `{"keywords":["one"]}`}, {"GET", "/api/keywords", ""}, {"POST", "/api/views", `{"name":"a","channels":["501"]}`}, {"GET", "/api/views", ""},
		{"GET", "/api/views/1", ""}, {"POST", "/api/views/1/feed", ""}, {"GET", "/api/feed?view=1", ""}, {"GET", "/api/export?format=json&channel=501", ""},
		{"PUT", "/api/suppressed/500", `{"suppress_roles":true}`}, {"GET", "/api/suppressed", ""}, {"GET", "/api/coverage", ""}, {"GET", "/api/webhooks", ""},
	} {
		req, err := http.NewRequest(e.method, w.base+e.path, strings.NewReader(e.body))
		if err != nil {
			t.Fatal(err)
		}
		if e.body != "" {
			req.Header.Set("Content-Type", "application/json")
		}
		route, params, err := router.FindRoute(req)
		if err != nil {
			t.Errorf("%s %s is not described: %v", e.method, e.path, err)
			continue
		}
		status, body, header := ask(t, newBrowser(t), e.method, w.base+e.path, e.body, "Authorization", "Bearer "+w.token)
		in := &openapi3filter.ResponseValidationInput{
			RequestValidationInput: &openapi3filter.RequestValidationInput{Request: req, PathParams: params, Route: route},
			Status:                 status, Header: header, Options: &openapi3filter.Options{IncludeResponseStatus: true, MultiError: true},
		}
		in.SetBodyBytes([]byte(body))
		if err := openapi3filter.ValidateResponse(context.Background(), in); err != nil {
			t.Errorf("%s %s answered %d %.300s: %.600v", e.method, e.path, status, body, err)
		}
	}
}

const apiDoc = "../docs/API.md"

// The list of operations in docs/API.md is made from the description; -update writes it anew.
func TestAPIDocListsEveryOperation(t *testing.T) {
	t.Parallel()
	doc := document(t, newWorld(t).serve(func(o *Options) { o.Admin = &AdminOptions{} }).URL, "/api/openapi-3.0.json")
	var b strings.Builder
	b.WriteString("| operation | | scope | parameters |\n|---|---|---|---|\n")
	var routes []string
	for route := range doc.Paths.Map() {
		routes = append(routes, route)
	}
	slices.Sort(routes)
	for _, route := range routes {
		ops := doc.Paths.Value(route).Operations()
		for _, method := range []string{"GET", "PUT", "POST", "DELETE"} {
			op := ops[method]
			if op == nil {
				continue
			}
			var params []string
			for _, p := range op.Parameters {
				name := "`" + p.Value.Name + "`"
				if p.Value.Required {
					name += " (needed)"
				}
				params = append(params, name)
			}
			if op.RequestBody != nil {
				for _, m := range op.RequestBody.Value.Content {
					for _, name := range sortedKeys(m.Schema.Value.Properties) {
						params = append(params, "`"+name+"` in the body")
					}
				}
			}
			scope := ""
			if s := *op.Security; len(s) > 0 {
				scope = strings.Join(s[0]["token"], " ")
			}
			fmt.Fprintf(&b, "| `%s %s` | %s | %s | %s |\n", method, route, op.Summary, scope, strings.Join(params, ", "))
		}
	}
	text, err := os.ReadFile(apiDoc)
	if err != nil {
		t.Fatal(err)
	}
	const begin, end = "<!-- operations -->\n", "<!-- end -->"
	head, rest, ok := strings.Cut(string(text), begin)
	old, tail, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the operations", apiDoc)
	}
	if *update {
		if err := os.WriteFile(apiDoc, []byte(head+begin+b.String()+end+tail), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if old != b.String() {
		t.Errorf("%s is not what the API has; go test ./web -run APIDoc -update writes it:\n%s", apiDoc, b.String())
	}
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// What the page at /api shows is what the document describes.
func TestTheAPIHasAPageForPeople(t *testing.T) {
	t.Parallel()
	ts := newWorld(t).serve()
	status, page, h := ask(t, newBrowser(t), "GET", ts.URL+"/api", "")
	if status != http.StatusOK || h.Get("Content-Type") != "text/html; charset=utf-8" {
		t.Fatalf("GET /api = %d %s", status, h.Get("Content-Type"))
	}
	for _, bad := range []string{"<script", "<style", " style=", " onclick", "http://cdn", "https://cdn", "ZgotmplZ"} {
		if strings.Contains(page, bad) {
			t.Errorf("the page has %q", bad)
		}
	}
	if policy := h.Get("Content-Security-Policy"); !strings.Contains(policy, "default-src 'none'") {
		t.Errorf("the policy is %q", policy)
	}
	doc := document(t, ts.URL, "/api/openapi-3.0.json")
	for route, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			if !strings.Contains(page, fmt.Sprintf(`id="%s"`, op.OperationID)) || !strings.Contains(page, method+`</span> <code>`+route+`</code>`) {
				t.Errorf("the page has no %s %s", method, route)
			}
			for _, p := range op.Parameters {
				if !strings.Contains(page, "<code>"+p.Value.Name+"</code>") {
					t.Errorf("the page has no %s of %s %s", p.Value.Name, method, route)
				}
			}
		}
	}
	if !strings.Contains(page, "<code>suppress_everyone</code>") {
		t.Error("the page does not show the fields of answers")
	}
}
