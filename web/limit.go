package web

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

// rate is how often something may be done: burst times at once, and once more with each step that passes.
type rate struct {
	step  time.Duration
	burst int
}

// limit is what one person may do, and what one address may, whoever asks from there. A burst of 0 is no limit.
type limit struct{ person, address rate }

// The expensive calls. Addresses have more, because many people may come from behind one. They are wide enough for a person who hurries and
// a script that is careful, and hold over all processes that share a Redis.
var limits = map[string]limit{
	"search": {rate{500 * time.Millisecond, 60}, rate{100 * time.Millisecond, 300}},
	"fresh":  {rate{500 * time.Millisecond, 60}, rate{100 * time.Millisecond, 300}},
	"verify": {rate{time.Second, 60}, rate{200 * time.Millisecond, 300}},
	"export": {rate{10 * time.Second, 12}, rate{2 * time.Second, 60}},
	"login":  {address: rate{500 * time.Millisecond, 240}},
	"feed":   {address: rate{200 * time.Millisecond, 300}},
}

// limiter counts who has done what. For each name it keeps one time: until when what was done is paid for.
type limiter struct {
	mu   sync.Mutex
	paid map[string]time.Time
	max  int
}

// limitedNames bounds how many people and addresses are remembered. Past it somebody is forgotten, who may then do a burst again.
const limitedNames = 20_000

func newLimiter() *limiter { return &limiter{paid: map[string]time.Time{}, max: limitedNames} }

// take does one more thing under a name, or says after what wait it can be done.
func (l *limiter) take(name string, r rate, now time.Time) (wait time.Duration) {
	if r.burst == 0 {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	paid, known := l.paid[name]
	if paid.Before(now) {
		paid = now
	}
	paid = paid.Add(r.step)
	if over := paid.Sub(now) - time.Duration(r.burst)*r.step; over > 0 {
		return over
	}
	if !known && len(l.paid) >= l.max {
		l.forget(now)
	}
	l.paid[name] = paid
	return 0
}

// forget makes room: of those who have nothing to pay any more, else of anybody.
func (l *limiter) forget(now time.Time) {
	var anybody string
	for name, paid := range l.paid {
		anybody = name
		if paid.Before(now) {
			delete(l.paid, name)
		}
	}
	if len(l.paid) >= l.max {
		delete(l.paid, anybody)
	}
}

// Limits counts what all processes do. It is *store.Store.
type Limits interface {
	// Take does one more thing under a name, or says after what wait it can be done. ErrUnavailable: it cannot be known now.
	Take(ctx context.Context, name string, step time.Duration, burst int) (wait time.Duration, err error)
}

// aloneShare is the part of a limit that a process allows while it cannot know what the others do, so that so many of them together allow
// no more than they should.
const aloneShare = 4

// take counts one thing with all processes, and alone while that cannot be.
func (s *Server) take(ctx context.Context, name string, r rate) time.Duration {
	if r.burst == 0 {
		return 0
	}
	if s.o.Limits != nil {
		wait, err := s.o.Limits.Take(ctx, name, r.step, r.burst)
		if err == nil {
			return wait
		}
		r = rate{r.step * aloneShare, max(r.burst/aloneShare, 1)}
	}
	return s.limiter.take(name, r, time.Now())
}

// limited counts an expensive call of a person (0: nobody yet) and of where they are. Its error says when to come back.
func (s *Server) limited(ctx context.Context, what string, p who, from string) error {
	l := limits[what]
	wait := s.take(ctx, what+" at "+from, l.address)
	if wait == 0 && p.user != 0 {
		wait = s.take(ctx, what+" by "+p.user.String(), l.person)
	}
	if wait == 0 {
		return nil
	}
	return tooMany(wait)
}

// tooMany is the answer 429, with when to come back.
func tooMany(wait time.Duration) error {
	seconds := int(math.Ceil(wait.Seconds()))
	return withRetry(problemf(http.StatusTooManyRequests, "That was asked too often. Try again in %d s.", seconds), seconds)
}

func withRetry(p *huma.ErrorModel, seconds int) error {
	return huma.ErrorWithHeaders(p, http.Header{"Retry-After": {strconv.Itoa(seconds)}})
}

// address is where a request comes from, as far as can be known: a network of 64 bits for IPv6, for nobody has fewer. What proxies
// say is believed only from those in TrustedProxies.
func (s *Server) address(r *http.Request) string {
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return "" // a unix socket, or a test
	}
	ip := at.Addr().Unmap()
	if s.trusted(ip) {
		hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
		for i := len(hops) - 1; i >= 0 && i >= len(hops)-maxHops; i-- {
			hop, err := parseHop(strings.TrimSpace(hops[i]))
			if err != nil {
				break
			}
			if ip = hop; !s.trusted(ip) {
				break
			}
		}
	}
	if ip.Is6() {
		if p, err := ip.WithZone("").Prefix(64); err == nil {
			return p.String()
		}
	}
	return ip.String()
}

// maxHops bounds how far back a request's way is followed.
const maxHops = 10

// parseHop reads an address, which some proxies write with a port.
func parseHop(s string) (netip.Addr, error) {
	if at, err := netip.ParseAddrPort(s); err == nil {
		return at.Addr().Unmap(), nil
	}
	ip, err := netip.ParseAddr(strings.Trim(s, "[]"))
	return ip.Unmap(), err
}

func (s *Server) trusted(ip netip.Addr) bool {
	for _, p := range s.o.TrustedProxies {
		if p.Contains(ip) {
			return true
		}
	}
	return false
}

// ParseProxies reads addresses and networks such as 10.0.0.0/8.
func ParseProxies(list []string) ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, text := range list {
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		p, err := netip.ParsePrefix(text)
		if err != nil {
			ip, err := netip.ParseAddr(text)
			if err != nil {
				return nil, fmt.Errorf("%q is neither an address nor a network such as 10.0.0.0/8", text)
			}
			p = netip.PrefixFrom(ip, ip.BitLen())
		}
		if p.Addr().Is4In6() {
			return nil, fmt.Errorf("%q: write it as IPv4", text)
		}
		out = append(out, p.Masked())
	}
	return out, nil
}

// places bounds how many of something are under way, in all and for each person.
type places struct {
	mu     sync.Mutex
	all    int
	people map[string]int
}

// enter takes a place; leave gives it back. It does not wait.
func (p *places) enter(name string, all, each int) (leave func(), ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.all >= all || p.people[name] >= each {
		return nil, false
	}
	if p.people == nil {
		p.people = map[string]int{}
	}
	p.all++
	p.people[name]++
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.all--
		if p.people[name]--; p.people[name] == 0 {
			delete(p.people, name)
		}
	}, true
}
