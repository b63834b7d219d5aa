package main

import (
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kong"
)

// setting reads one setting. What cannot be read it notes and takes for the default, so that all the others are looked at too. An empty one
// is the default: that is what a line of a compose or .env file is that nobody has filled in.
type setting struct {
	kong.Mapper
	unread *[]string
}

// IsBool reports whether the flag stands without a value.
func (s setting) IsBool() bool {
	b, ok := s.Mapper.(kong.BoolMapper)
	return ok && b.IsBool()
}

// Decode fails only where no value is given.
func (s setting) Decode(ctx *kong.DecodeContext, target reflect.Value) error {
	token := ctx.Scan.Peek()
	text, given := token.Value.(string)
	if given && text == "" && (token.Type == kong.FlagValueToken || token.IsValue() && !s.IsBool()) {
		ctx.Scan.Pop()
		return s.usual(ctx, target)
	}
	err := s.Mapper.Decode(ctx, target)
	var want string
	switch {
	case err == nil && ctx.Value.Enum != "" && !slices.Contains(ctx.Value.EnumSlice(), fmt.Sprint(target)):
		want = "must be one of " + strings.Join(ctx.Value.EnumSlice(), ", ")
	case err == nil:
		if list, ok := target.Interface().([]string); ok {
			// Lists are written with spaces, too: "1, 2".
			target.Set(reflect.ValueOf(strings.Fields(strings.Join(list, " "))))
		}
		return nil
	case !given || !token.IsValue():
		return err
	default:
		want = wanted(target.Interface())
	}
	if fault := fmt.Sprintf("%s is %q: it %s.", ctx.Value.Tag.Envs[0], text, want); !slices.Contains(*s.unread, fault) {
		*s.unread = append(*s.unread, fault)
	}
	return s.usual(ctx, target)
}

// usual sets a setting to its default.
func (s setting) usual(ctx *kong.DecodeContext, target reflect.Value) error {
	if !ctx.Value.HasDefault {
		target.SetZero()
		return nil
	}
	usual := kong.ScanFromTokens(kong.Token{Type: kong.FlagValueToken, Value: ctx.Value.Default})
	return s.Mapper.Decode(ctx.WithScanner(usual), target)
}

// wanted says what a setting must be like.
func wanted(v any) string {
	switch v.(type) {
	case int:
		return "must be a whole number"
	case bool:
		return "must be true or false"
	case time.Duration:
		return "must be a duration such as 5ms"
	case slog.Level:
		return "must be DEBUG, INFO, WARN or ERROR"
	}
	return "cannot be read"
}
