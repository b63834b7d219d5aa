package sim

// Intent is a set of gateway intents.
type Intent int

// The intents that the simulator knows how to withhold. The names are Discord's.
const (
	IntentGuilds       Intent = 1 << 0
	IntentMembers      Intent = 1 << 1
	IntentModeration   Intent = 1 << 2
	IntentWebhooks     Intent = 1 << 5
	IntentPresences    Intent = 1 << 8
	IntentMessages     Intent = 1 << 9
	IntentReactions    Intent = 1 << 10
	IntentTyping       Intent = 1 << 11
	IntentContent      Intent = 1 << 15
	IntentMessagePolls Intent = 1 << 24

	privileged = IntentMembers | IntentPresences | IntentContent
	// known are all bits that Discord has given a meaning.
	known = Intent(1<<17-1) | 1<<20 | 1<<21 | 1<<24 | 1<<25
)
