package simtest

import "testing"

// BenchmarkCheckEvent says what holding one MESSAGE_CREATE to the description costs.
func BenchmarkCheckEvent(b *testing.B) {
	d := []byte(`{"id":"1574446465777008640","channel_id":"1574446425096454148","guild_id":"1574446425096454146","author":{"id":"1574446425096454144","username":"ada","discriminator":"0","global_name":null,"avatar":null,"public_flags":0,"flags":0,"banner":null,"accent_color":null,"avatar_decoration_data":null,"collectibles":null,"primary_guild":null},"member":{"nick":null,"avatar":null,"banner":null,"avatar_decoration_data":null,"roles":[],"joined_at":"2026-11-23T15:27:59.543622+00:00","premium_since":null,"deaf":false,"mute":false,"flags":0,"pending":false,"communication_disabled_until":null},"type":0,"content":"hello","timestamp":"2026-11-23T15:28:09.242000+00:00","edited_timestamp":null,"tts":false,"mention_everyone":false,"mentions":[],"mention_roles":[],"attachments":[],"embeds":[],"components":[],"pinned":false,"flags":0,"channel_type":0}`)
	if err := CheckEvent("MESSAGE_CREATE", d); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if err := CheckEvent("MESSAGE_CREATE", d); err != nil {
			b.Fatal(err)
		}
	}
}
