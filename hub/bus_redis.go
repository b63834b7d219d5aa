package hub

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"
	"github.com/redis/go-redis/v9"
)

// redisBus carries envelopes through Redis' publish and subscribe, which keeps nothing: whatever is lost is noticed, by
// sequence numbers, by subscriptions that are made anew, or by a publisher's own word, and found again by the sweep.
type redisBus struct {
	client    redis.UniversalClient
	names     [busChannels]string
	history   *history
	publisher uint64
	sharded   bool // the channels are shard channels; set by run before anything else uses it
	receive   func(envelope)
	lost      func(channel int) // what was said there may not have come
	silent    func(channel int) // what is said there does not come
	log       *slog.Logger
	metrics   *metrics

	mu      sync.Mutex
	queue   []outgoing
	bytes   int
	seq     [busChannels]uint64
	unsaid  uint32 // channels on which something was lost that the others must be told of
	pending chan struct{}

	deaf int // listeners that have lost their subscription

	// heard is the last sequence number of each publisher, by channel. Only the channel's listener uses it.
	heard [busChannels]map[uint64]uint64
}

type outgoing struct {
	channel int
	payload []byte
	log     discord.GuildID // whose log keeps it; 0 for none
	about   string          // the channel, and the message where one is told whole
	gone    []string        // what the log is to drop, each as about
}

// Bounds of what waits for Redis.
const (
	maxQueue      = 1 << 14
	maxQueueBytes = 16 << 20
	maxBatch      = 256
	maxPublishers = 256
)

// Pauses of the Redis loops.
const (
	firstBackoff = 50 * time.Millisecond
	lastBackoff  = 2 * time.Second
)

func newRedisBus(c redis.UniversalClient, prefix string, receive func(envelope), lost, silent func(int), y *history, log *slog.Logger, m *metrics) *redisBus {
	b := &redisBus{
		client: c, history: y, receive: receive, lost: lost, silent: silent, log: log, metrics: m, pending: make(chan struct{}, 1),
	}
	for i := range b.names {
		b.names[i] = prefix + "hub:" + strconv.Itoa(i)
		b.heard[i] = map[uint64]uint64{}
	}
	var id [8]byte
	rand.Read(id[:])
	b.publisher = binary.BigEndian.Uint64(id[:])
	return b
}

func (b *redisBus) remote() bool { return true }

// publish queues an envelope. When the queue is full it is lost, and the others are told that something was.
func (b *redisBus) publish(channel int, e envelope) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.put(channel, e)
	signal(b.pending)
}

// put encodes and queues. The caller holds mu.
func (b *redisBus) put(channel int, e envelope) {
	b.seq[channel]++
	e.publisher, e.seq = b.publisher, b.seq[channel]
	payload := e.encode()
	if len(b.queue) >= maxQueue || b.bytes+len(payload) > maxQueueBytes || len(payload) > maxEnvelope {
		b.unsaid |= 1 << channel
		b.metrics.unpublished.Inc()
		return
	}
	o := outgoing{channel: channel, payload: payload}
	if e.kind == kindDelta {
		d := e.delta
		o.log, o.about = d.guild, logged(d.channel, 0)
		if d.message != nil {
			o.about = logged(d.channel, d.id)
		}
		for _, id := range d.gone {
			o.gone = append(o.gone, logged(d.channel, id))
		}
	}
	b.queue = append(b.queue, o)
	b.bytes += len(payload)
}

// next takes a batch. What must be said to be lost comes first.
func (b *redisBus) next() []outgoing {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.unsaid != 0 && len(b.queue) <= maxQueue/2 {
		mask := b.unsaid
		b.unsaid = 0
		for i := range busChannels {
			if mask&(1<<i) != 0 {
				b.put(i, envelope{kind: kindLost})
			}
		}
	}
	n := min(len(b.queue), maxBatch)
	batch := slices.Clone(b.queue[:n])
	b.queue = slices.Delete(b.queue, 0, n)
	for _, o := range batch {
		b.bytes -= len(o.payload)
	}
	return batch
}

func (b *redisBus) run(ctx context.Context) {
	if !b.askSharded(ctx) {
		return
	}
	var wg sync.WaitGroup
	wg.Go(func() { b.runPublish(ctx) })
	if b.sharded {
		// One subscription connection a channel, because each channel has its slot: a connection that is made anew subscribes
		// to all that it had in one command, which a Cluster refuses for channels of several slots.
		for i := range busChannels {
			wg.Go(func() { b.runListen(ctx, b.names[i:i+1]) })
		}
	} else {
		wg.Go(func() { b.runListen(ctx, b.names[:]) })
	}
	wg.Wait()
}

func (b *redisBus) runPublish(ctx context.Context) {
	pause := time.Duration(0)
	for {
		batch := b.next()
		if len(batch) == 0 {
			select {
			case <-ctx.Done():
				return
			case <-b.pending:
			}
			continue
		}
		err := b.flush(ctx, batch)
		if err == nil {
			if pause > 0 {
				b.log.Info("publishing through Redis works again")
			}
			pause = 0
			continue
		}
		b.mu.Lock()
		for _, o := range batch {
			b.unsaid |= 1 << o.channel
		}
		b.mu.Unlock()
		b.metrics.unpublished.Add(float64(len(batch)))
		signal(b.pending) // what is to be said is said as soon as it can be
		if ctx.Err() != nil {
			return
		}
		if pause == 0 {
			b.log.Warn("publishing through Redis fails, other processes catch up later", "err", err)
		}
		pause = min(max(firstBackoff, 2*pause), lastBackoff)
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// keepLog drops from a guild's log what is older than logs are kept, messages that are gone, and those that name them, as replies do: deltas alone may be found again,
// what somebody deleted may not. Whoever needs what is dropped finds a hole, which is a reset of the channel.
var keepLog = redis.NewScript(`
redis.call('PEXPIRE', KEYS[1], ARGV[1])
local now = redis.call('TIME')
local old = now[1] * 1000 + math.floor(now[2] / 1000) - ARGV[1]
for _, e in ipairs(redis.call('XRANGE', KEYS[1], '-', string.format('%.0f', old), 'COUNT', 1000)) do
	redis.call('XDEL', KEYS[1], e[1])
end
if #ARGV == 1 then
	return 0
end
for _, e in ipairs(redis.call('XRANGE', KEYS[1], '-', '+')) do
	local about = e[2][4]
	if about and string.sub(about, -2) ~= ' 0' then
		for i = 2, #ARGV do
			local channel, id = string.match(ARGV[i], '^(%d+) (%d+)$')
			if about == ARGV[i] or id == '0' and string.match(about, '^%d+') == channel or id ~= '0' and string.find(e[2][2], id, 1, true) then
				redis.call('XDEL', KEYS[1], e[1])
				break
			end
		end
	end
end
return 0 -- nothing would be read as an error`)

// logged names a channel's message in a log; 0 stands for no message, and where it is to be dropped for all.
func logged(c discord.ChannelID, m discord.MessageID) string {
	return strconv.FormatUint(uint64(c), 10) + " " + strconv.FormatUint(uint64(m), 10)
}

// flush publishes a batch in one round trip, in order. The end of ctx does not interrupt it.
func (b *redisBus) flush(ctx context.Context, batch []outgoing) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	pipe := b.client.Pipeline()
	gone := map[discord.GuildID][]any{}
	for _, o := range batch {
		if o.log != 0 {
			pipe.XAdd(ctx, &redis.XAddArgs{
				Stream: b.history.logKey(o.log), MaxLen: maxLogged, Approx: true, Values: []any{"e", o.payload, "m", o.about},
			})
			list := gone[o.log]
			for _, g := range o.gone {
				list = append(list, g)
			}
			gone[o.log] = list
		}
		if b.sharded {
			pipe.SPublish(ctx, b.names[o.channel], o.payload)
		} else {
			pipe.Publish(ctx, b.names[o.channel], o.payload)
		}
	}
	for g, list := range gone {
		// A pipeline cannot fall back from EVALSHA once the server has forgotten the script.
		keepLog.Eval(ctx, pipe, []string{b.history.logKey(g)}, append([]any{logExpires.Milliseconds()}, list...)...)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	b.metrics.published.Add(float64(len(batch)))
	return nil
}
