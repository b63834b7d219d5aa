package web

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// described is one operation as the page at /api shows it.
type described struct {
	ID, Method, Path, Summary, Scope string
	Limited                          bool
	Params                           []describedField
	Body                             []describedField
	Answer                           []describedField
	Kinds                            []string // of the answer, where it is not JSON alone
}

// describedField is a parameter, or a field of a body. Depth is how deep in the body it lies.
type describedField struct {
	Name, In, Kind, Doc string
	Needed              bool
	Depth               int
}

// describedGroup holds the operations below one path.
type describedGroup struct {
	Name       string
	Operations []described
}

// pageAPI shows the API's description to people. It is made from the same document that machines get.
func (s *Server) pageAPI(w http.ResponseWriter, r *http.Request) {
	s.show(w, r, http.StatusOK, "api.html", struct {
		Base, Version string
		Groups        []describedGroup
	}{s.base(r), s.o.Version, s.reference})
}

// describe makes the page's content, once.
func describe(doc *huma.OpenAPI) []describedGroup {
	var groups []describedGroup
	paths := make([]string, 0, len(doc.Paths))
	for path := range doc.Paths {
		paths = append(paths, path)
	}
	slices.Sort(paths)
	for _, path := range paths {
		item := doc.Paths[path]
		name, _, _ := strings.Cut(strings.TrimPrefix(path, "/api/"), "/")
		if len(groups) == 0 || groups[len(groups)-1].Name != name {
			groups = append(groups, describedGroup{Name: name})
		}
		g := &groups[len(groups)-1]
		for _, op := range []*huma.Operation{item.Get, item.Put, item.Post, item.Delete} {
			if op != nil {
				g.Operations = append(g.Operations, describeOperation(doc, op))
			}
		}
	}
	return groups
}

func describeOperation(doc *huma.OpenAPI, op *huma.Operation) described {
	d := described{ID: op.OperationID, Method: op.Method, Path: op.Path, Summary: op.Summary, Limited: op.Metadata["limit"] != nil}
	d.Scope, _ = op.Metadata["scope"].(string)
	for _, p := range op.Parameters {
		text := p.Description
		if p.Schema != nil && text == "" {
			text = p.Schema.Description
		}
		d.Params = append(d.Params, describedField{Name: p.Name, In: p.In, Kind: kindOf(doc, p.Schema), Doc: text, Needed: p.Required})
	}
	if op.RequestBody != nil {
		if m := op.RequestBody.Content["application/json"]; m != nil {
			d.Body = fieldsOf(doc, m.Schema, 0)
		}
	}
	for status, res := range op.Responses {
		if !strings.HasPrefix(status, "2") {
			continue
		}
		for kind, m := range res.Content {
			if kind == "application/json" {
				d.Answer = fieldsOf(doc, m.Schema, 0)
			} else {
				d.Kinds = append(d.Kinds, kind)
			}
		}
	}
	return d
}

// maxDepth is how deep fields are shown; below it, the document for machines tells.
const maxDepth = 3

// fieldsOf lists the fields of an object, each followed by its own.
func fieldsOf(doc *huma.OpenAPI, s *huma.Schema, depth int) []describedField {
	if s = resolved(doc, s); s == nil || depth > maxDepth {
		return nil
	}
	var out []describedField
	names := make([]string, 0, len(s.Properties))
	for name := range s.Properties {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		p := s.Properties[name]
		r := resolved(doc, p)
		text := p.Description
		if text == "" && r != nil && p.Ref == "" {
			text = r.Description
		}
		out = append(out, describedField{Name: name, Kind: kindOf(doc, p), Doc: text, Needed: slices.Contains(s.Required, name), Depth: depth})
		if r != nil && r.Type == huma.TypeArray {
			r = resolved(doc, r.Items)
		}
		out = append(out, fieldsOf(doc, r, depth+1)...)
	}
	return out
}

func resolved(doc *huma.OpenAPI, s *huma.Schema) *huma.Schema {
	if s != nil && s.Ref != "" {
		return doc.Components.Schemas.SchemaFromRef(s.Ref)
	}
	return s
}

// kindOf says of what kind a value is, in a few words.
func kindOf(doc *huma.OpenAPI, s *huma.Schema) string {
	s = resolved(doc, s)
	if s == nil {
		return ""
	}
	kind := s.Type
	switch {
	case s.Type == huma.TypeArray:
		kind = "list of " + kindOf(doc, s.Items)
	case s.Pattern == "^[0-9]{1,20}$":
		kind = "id"
	case s.Format == "date-time":
		kind = "time"
	case len(s.Enum) > 0:
		var values []string
		for _, v := range s.Enum {
			values = append(values, fmt.Sprint(v))
		}
		kind = strings.Join(values, ", ")
	}
	if s.Minimum != nil && s.Maximum != nil {
		kind += fmt.Sprintf(" %v to %v", *s.Minimum, *s.Maximum)
	}
	if s.Default != nil {
		kind += fmt.Sprintf("; %v without it", s.Default)
	}
	if s.Nullable {
		kind += " or null"
	}
	return kind
}
