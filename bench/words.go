package main

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"

	"github.com/diamondburned/arikawa/v3/discord"
)

// How people talk in the bench: as often the same words, and as much of it the same people, as in 63,941 messages of 50 channels of a real chat.
//
// A message has messageWords words, whose ranks are spread as there: the most frequent is one of 36 words, 27,940 are distinct (here 26,330), and
// the number of distinct ones grows with the 0.64th power of what is said. The chance that a rank is above r is (1 + r/wordScale) to the power of -wordTail.
const (
	messageWords = 10
	wordScale    = 20
	wordTail     = 0.56
	rarest       = 1e9 // a bound on ranks
)

// A channel has speakers, the first of whom talk most: there 20 of 134 say 60 % of it, and 80 say 93 %; here 60 % and 97 %.
const (
	speakers      = 134
	speakersScale = 22
)

// speaker is who says message seed in the n-th channel.
func speaker(seed uint64, n int) discord.UserID {
	r := rand.New(rand.NewPCG(seed, 1))
	return discord.UserID(100_000 + speakers*n + min(int(speakersScale*r.ExpFloat64()), speakers-1))
}

// speakerSQL is an expression that chooses somebody so, in the channel whose number is n.
func speakerSQL(n string) string {
	return fmt.Sprintf(`100000 + %d * (%s) + least(floor(-%d * ln(1 - random())), %d)::int`, speakers, n, speakersScale, speakers-1)
}

// chatter is what somebody says in message seed: always the same.
func chatter(seed uint64) string {
	r := rand.New(rand.NewPCG(seed, 0))
	var b strings.Builder
	for i := range messageWords {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString("word")
		b.WriteString(strconv.Itoa(int(min(wordScale*(math.Pow(1-r.Float64(), -1/wordTail)-1), rarest))))
	}
	return b.String()
}

// chatterSQL is an expression that makes such a text, another one for each value of the column of.
func chatterSQL(of string) string {
	return `(SELECT string_agg('word' || least(` + strconv.Itoa(wordScale) + ` * ((1 - random()) ^ (-1 / ` + strconv.FormatFloat(wordTail, 'g', -1, 64) + `) - 1), 1e9)::bigint, ' ')
		FROM generate_series(1, ` + strconv.Itoa(messageWords) + `) WHERE ` + of + ` IS NOT NULL)`
}
