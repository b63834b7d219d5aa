package jobs

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"
	"github.com/prometheus/client_golang/prometheus"

	"tidings"
	"tidings/store"
)

// VerifyKind is the kind of the job that recounts what a few people are shown.
const VerifyKind = "verify"

// Bounds of one look. A channel is counted message by message, so its time is bounded too.
const (
	verifiedPeople   = 5
	verifiedChannels = 20 // of each
	verifyTime       = 15 * time.Second
)

// Counter states counts and recounts them. It is *store.Store.
type Counter interface {
	SampleReaders(ctx context.Context, n int) ([]discord.UserID, error)
	VerifySome(ctx context.Context, set *tidings.VisibleSet, channels []discord.ChannelID) (stated, recounted []tidings.ReadChannel, err error)
}

// Verify is the handler of [VerifyKind]. What differs is counted in tidings_unread_mismatches_total, which must stay 0, and
// logged. visible is access'.
func Verify(c Counter, visible func(discord.UserID) *tidings.VisibleSet, metrics prometheus.Registerer, log *slog.Logger) Handler {
	mismatches := prometheus.NewCounter(prometheus.CounterOpts{
		Name: "tidings_unread_mismatches_total", Help: "Channels of people whose counts differed from a recount. It must stay 0.",
	})
	checked := prometheus.NewCounter(prometheus.CounterOpts{
		Name: "tidings_unread_verified_total", Help: "Channels of people whose counts were compared with a recount.",
	})
	if metrics != nil {
		metrics.MustRegister(mismatches, checked)
	}
	return func(ctx context.Context, _ store.Job) error {
		people, err := c.SampleReaders(ctx, verifiedPeople)
		if err != nil {
			return err
		}
		for _, u := range people {
			set := visible(u)
			list := set.ChannelIDs()
			rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
			if list = list[:min(len(list), verifiedChannels)]; len(list) == 0 {
				continue
			}
			bounded, cancel := context.WithTimeout(ctx, verifyTime)
			stated, recounted, err := c.VerifySome(bounded, set, list)
			late := bounded.Err() != nil && ctx.Err() == nil
			cancel()
			if late && err != nil {
				log.Debug("a recount took too long", "user", u, "channels", len(list))
				continue
			}
			if err != nil {
				return err
			}
			checked.Add(float64(len(stated)))
			for i, s := range stated {
				if r := recounted[i]; s != r {
					mismatches.Inc()
					log.Error("a count differs from its recount", "channel", s.ID, "user", u, "version", s.Version,
						"unread", s.Unread, "recounted", r.Unread, "mentions", s.Mentions, "mentions_recounted", r.Mentions, "first", s.FirstUnread, "first_recounted", r.FirstUnread)
				}
			}
		}
		return nil
	}
}
