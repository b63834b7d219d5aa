package render

import (
	"regexp"
	"unicode"
)

// mostJumbo is how many emoji Discord shows large when a message holds nothing else.
const mostJumbo = 27

var customEmoji = regexp.MustCompile(`<a?:[A-Za-z0-9_]{1,32}:\d{1,20}>`)

// jumbo reports whether a text is nothing but a few emoji.
func jumbo(s string) bool {
	if len(s) == 0 || len(s) > 2_000 {
		return false
	}
	n := len(customEmoji.FindAllStringIndex(s, mostJumbo+1))
	for _, c := range customEmoji.ReplaceAllString(s, "") {
		switch {
		case unicode.IsSpace(c), c == 0x200D, c == 0xFE0F, c == 0x20E3, c >= 0x1F3FB && c <= 0x1F3FF, c >= 0xE0020 && c <= 0xE007F:
		case c >= 0x1F000 && c <= 0x1FAFF, c >= 0x2600 && c <= 0x27BF, c >= 0x2B00 && c <= 0x2BFF, c >= 0x2300 && c <= 0x23FF:
			n++
		default:
			return false
		}
	}
	return n > 0 && n <= mostJumbo
}
