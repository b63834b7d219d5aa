package simtest

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"tidings/sim"
)

// openapi.json is Discord's published description of its API, of 2026-07-18, under the licence in openapi.LICENSE.
//
//go:embed openapi.json
var openapiJSON []byte

// defects are what the description has wrong, each with how it is mended before anything is held to it. Where the
// description and the documentation differ, the documentation holds.
var defects = []struct {
	name string
	mend func(doc map[string]any)
}{
	{"message type 44 is missing, and unknown types must be expected (the simulator's begin at 64)", func(doc map[string]any) {
		addChoice(doc, "MessageType", map[string]any{"type": "integer", "const": 44}, map[string]any{"type": "integer", "minimum": 64})
	}},
	{"channel type 16 (media) is missing", func(doc map[string]any) {
		addChoice(doc, "ChannelTypes", map[string]any{"type": "integer", "const": 16})
	}},
	{"message reference type 1 (forward) is missing", func(doc map[string]any) {
		addChoice(doc, "MessageReferenceType", map[string]any{"type": "integer", "const": 1})
	}},
	{"permissions are strings in requests too, not only integers", func(doc map[string]any) {
		for _, name := range []string{"CreateRoleRequest", "UpdateRoleRequestPartial", "ChannelPermissionOverwriteRequest"} {
			permissionsAsText(schemas(doc)[name])
		}
		put := doc["paths"].(map[string]any)["/channels/{channel_id}/permissions/{overwrite_id}"].(map[string]any)["put"].(map[string]any)
		permissionsAsText(put["requestBody"].(map[string]any)["content"].(map[string]any)["application/json"].(map[string]any)["schema"])
	}},
	{"the inner codes of a 50035 are strings, not integers", func(doc map[string]any) {
		schemas(doc)["InnerErrors"] = map[string]any{
			"type": "object", "required": []any{"_errors"},
			"properties": map[string]any{"_errors": map[string]any{"type": "array", "items": map[string]any{
				"type": "object", "required": []any{"code", "message"},
				"properties": map[string]any{"code": map[string]any{"type": "string"}, "message": map[string]any{"type": "string"}},
			}}},
		}
	}},
}

func schemas(doc map[string]any) map[string]any {
	return doc["components"].(map[string]any)["schemas"].(map[string]any)
}

func addChoice(doc map[string]any, schema string, choices ...any) {
	s := schemas(doc)[schema].(map[string]any)
	s["oneOf"] = append(s["oneOf"].([]any), choices...)
}

// permissionsAsText lets the permission fields of a request's schema be strings of digits.
func permissionsAsText(schema any) {
	props := schema.(map[string]any)["properties"].(map[string]any)
	for _, k := range []string{"permissions", "allow", "deny"} {
		if props[k] != nil {
			props[k] = map[string]any{"type": []any{"integer", "string", "null"}, "pattern": "^[0-9]+$"}
		}
	}
}

// spec is the description, loaded once.
type spec struct {
	doc      *openapi3.T
	compiler *jsonschema.Compiler
	mu       sync.Mutex
	compiled map[string]*jsonschema.Schema
}

var load = sync.OnceValues(func() (*spec, error) {
	var raw map[string]any
	if err := json.Unmarshal(openapiJSON, &raw); err != nil {
		return nil, err
	}
	for _, d := range defects {
		d.mend(raw)
	}
	b, err := json.Marshal(raw)
	if err != nil {
		return nil, err
	}
	doc, err := openapi3.NewLoader().LoadFromData(b)
	if err != nil {
		return nil, err
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("openapi.json", v); err != nil {
		return nil, err
	}
	return &spec{doc: doc, compiler: c, compiled: map[string]*jsonschema.Schema{}}, nil
})

// Check holds one REST exchange to Discord's description: the answer always, the request where the simulator took it.
func Check(e sim.Exchange) error {
	if e.Faulty || e.Route == "/" {
		return nil
	}
	s, err := load()
	if err != nil {
		return err
	}
	item := s.doc.Paths.Value(e.Route)
	if item == nil {
		return fmt.Errorf("%s is not in the description", e.Route)
	}
	op := item.GetOperation(e.Request.Method)
	if op == nil {
		return fmt.Errorf("%s %s is not in the description", e.Request.Method, e.Route)
	}
	in := &openapi3filter.RequestValidationInput{
		Request:    &http.Request{Method: e.Request.Method, URL: e.Request.URL, Header: e.Request.Header, Body: io.NopCloser(bytes.NewReader(e.RequestBody)), ContentLength: int64(len(e.RequestBody))},
		PathParams: map[string]string{},
		Route:      &routers.Route{Spec: s.doc, Path: e.Route, PathItem: item, Method: e.Request.Method, Operation: op},
		Options:    &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, IncludeResponseStatus: true},
	}
	for p := range strings.SplitSeq(e.Route, "/") {
		if name, ok := strings.CutPrefix(p, "{"); ok {
			name = strings.TrimSuffix(name, "}")
			in.PathParams[name] = e.Request.PathValue(name)
		}
	}
	if e.Status/100 == 2 {
		if err := s.checkRequest(in, e); err != nil {
			return fmt.Errorf("request %s %s: %w\n%.500s", e.Request.Method, e.Request.URL, err, e.RequestBody)
		}
	}
	if err := s.checkResponse(in, e); err != nil {
		return fmt.Errorf("answer %d to %s %s: %w\n%.2000s", e.Status, e.Request.Method, e.Request.URL, err, e.ResponseBody)
	}
	return nil
}

// checkRequest holds a request's parameters and JSON body to the description.
func (s *spec) checkRequest(in *openapi3filter.RequestValidationInput, e sim.Exchange) error {
	u := *e.Request.URL
	in.Request.URL = &url.URL{Scheme: "https", Host: "discord.com", Path: u.Path, RawPath: u.RawPath, RawQuery: u.RawQuery}
	var errs []error
	for _, p := range slices.Concat(in.Route.PathItem.Parameters, in.Route.Operation.Parameters) {
		// "@me" stands for an id in some paths that the description names only with the id.
		if p.Value.In == "path" && in.PathParams[p.Value.Name] == "@me" {
			continue
		}
		errs = append(errs, openapi3filter.ValidateParameter(context.Background(), in, p.Value))
	}
	if in.Route.Operation.RequestBody != nil && len(e.RequestBody) > 0 && strings.HasPrefix(e.Request.Header.Get("Content-Type"), "application/json") {
		errs = append(errs, s.checkJSON(operation(e)+"/requestBody/content/application~1json/schema", e.RequestBody))
	}
	return errors.Join(errs...)
}

// checkResponse holds an answer's status and body to the description. The schemas are compiled once and kept, which
// kin-openapi's own validator does not do: it would take most of a test suite's time.
func (s *spec) checkResponse(in *openapi3filter.RequestValidationInput, e sim.Exchange) error {
	ref := in.Route.Operation.Responses.Status(e.Status)
	at := operation(e) + "/responses/" + strconv.Itoa(e.Status)
	if ref == nil {
		at = fmt.Sprintf("%s/responses/%dXX", operation(e), e.Status/100)
		ref = in.Route.Operation.Responses.Value(fmt.Sprintf("%dXX", e.Status/100))
	} else if in.Route.Operation.Responses.Value(strconv.Itoa(e.Status)) == nil {
		at = fmt.Sprintf("%s/responses/%dXX", operation(e), e.Status/100)
	}
	if ref == nil {
		return errors.New("this status is not in the description")
	}
	if ref.Ref != "" {
		at = "openapi.json" + ref.Ref
	}
	media := ref.Value.Content.Get("application/json")
	if media == nil {
		if len(e.ResponseBody) > 0 {
			return errors.New("this answer has no body in the description")
		}
		return nil
	}
	if ct := e.Header.Get("Content-Type"); !strings.HasPrefix(ct, "application/json") {
		return fmt.Errorf("content type %q", ct)
	}
	return s.checkJSON(at+"/content/application~1json/schema", e.ResponseBody)
}

// operation is the place of an exchange's operation in the description.
func operation(e sim.Exchange) string {
	path := strings.NewReplacer("~", "~0", "/", "~1", "{", "%7B", "}", "%7D").Replace(e.Route)
	return "openapi.json#/paths/" + path + "/" + strings.ToLower(e.Request.Method)
}

func (s *spec) checkJSON(at string, body []byte) error {
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		return err
	}
	sch, err := s.schema(at)
	if err != nil {
		return err
	}
	return sch.Validate(v)
}

// parts are the schemas that describe gateway payloads, or parts of them ("" is the whole), by dispatch.
var parts = map[string]map[string]string{
	"READY":                {"user": "UserResponse"},
	"GUILD_CREATE":         {"": "GuildResponse", "channels[]": "GuildChannelResponse", "threads[]": "ThreadResponse", "members[]": "GuildMemberResponse"},
	"GUILD_UPDATE":         {"": "GuildResponse"},
	"CHANNEL_CREATE":       {"": "GuildChannelResponse"},
	"CHANNEL_UPDATE":       {"": "GuildChannelResponse"},
	"CHANNEL_DELETE":       {"": "GuildChannelResponse"},
	"THREAD_CREATE":        {"": "ThreadResponse"},
	"THREAD_UPDATE":        {"": "ThreadResponse"},
	"THREAD_LIST_SYNC":     {"threads[]": "ThreadResponse", "members[]": "ThreadMemberResponse"},
	"GUILD_ROLE_CREATE":    {"role": "GuildRoleResponse"},
	"GUILD_ROLE_UPDATE":    {"role": "GuildRoleResponse"},
	"GUILD_MEMBER_ADD":     {"": "GuildMemberResponse"},
	"GUILD_MEMBER_UPDATE":  {"": "GuildMemberResponse"},
	"GUILD_MEMBER_REMOVE":  {"user": "UserResponse"},
	"GUILD_MEMBERS_CHUNK":  {"members[]": "GuildMemberResponse"},
	"MESSAGE_CREATE":       {"": "MessageResponse"},
	"MESSAGE_UPDATE":       {"": "MessageResponse"},
	"MESSAGE_REACTION_ADD": {"member": "GuildMemberResponse", "emoji": "MessageReactionEmojiResponse"},
}

// CheckEvent holds the parts of a dispatch that the description covers to it.
func CheckEvent(t string, d []byte) error {
	want := parts[t]
	if want == nil {
		return nil
	}
	s, err := load()
	if err != nil {
		return err
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(d))
	if err != nil {
		return fmt.Errorf("%s: %w", t, err)
	}
	for path, name := range want {
		sch, err := s.schema("openapi.json#/components/schemas/" + name)
		if err != nil {
			return err
		}
		for _, part := range pick(v, path) {
			if err := sch.Validate(part); err != nil {
				return fmt.Errorf("%s %s is no %s: %w\n%.2000s", t, path, name, err, d)
			}
		}
	}
	return nil
}

// schema gives the compiled schema at a place in the description.
func (s *spec) schema(at string) (*jsonschema.Schema, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if sch := s.compiled[at]; sch != nil {
		return sch, nil
	}
	sch, err := s.compiler.Compile(at)
	if err == nil {
		s.compiled[at] = sch
	}
	return sch, err
}

// pick gives the parts of a payload at a path: "" is itself, "x" a field, "x[]" the elements of one.
func pick(v any, path string) []any {
	if path == "" {
		return []any{v}
	}
	m, _ := v.(map[string]any)
	name, list := strings.CutSuffix(path, "[]")
	x, ok := m[name]
	if !ok || x == nil {
		return nil
	}
	if list {
		l, _ := x.([]any)
		return l
	}
	return []any{x}
}
