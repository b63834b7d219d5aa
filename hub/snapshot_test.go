package hub

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"
	"pgregory.net/rapid"

	"tidings"
)

// fill gives every field that there is a value that rapid chooses, so that a field which is new in a summary is not forgotten here.
func fill(t *rapid.T, v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.UnixMilli(rapid.Int64Range(0, 1<<42).Draw(t, "time")).UTC()))
			return
		}
		for i := range v.NumField() {
			fill(t, v.Field(i))
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), rapid.IntRange(0, 3).Draw(t, "length"), 3))
		for i := range v.Len() {
			fill(t, v.Index(i))
		}
	case reflect.Pointer:
		if rapid.Bool().Draw(t, "there") {
			v.Set(reflect.New(v.Type().Elem()))
			fill(t, v.Elem())
		}
	case reflect.String:
		v.SetString(rapid.String().Draw(t, "text"))
	case reflect.Bool:
		v.SetBool(rapid.Bool().Draw(t, "bool"))
	case reflect.Uint64:
		v.SetUint(rapid.SampledFrom([]uint64{0, 1, 41771983423143937, 1<<63 - 1, uint64(discord.NullChannelID)}).Draw(t, "id"))
	case reflect.Int64, reflect.Int:
		v.SetInt(rapid.Int64().Draw(t, "number"))
	default:
		t.Fatalf("a field of kind %v", v.Kind())
	}
}

func TestSnapshotsAreWhatJSONMakesOfThem(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var u tidings.Unread
		fill(t, reflect.ValueOf(&u).Elem())
		want, err := json.Marshal(&u)
		if err != nil {
			return // not what a snapshot is made of
		}
		if got, err := appendUnread(nil, &u); err != nil || string(got) != string(want) {
			t.Fatalf("snapshot = %s, %v\nwant %s", got, err, want)
		}
	})
}
