package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"time"

	"tidings"
)

// exponent is the slope of cost over size where both are drawn on logarithmic scales, by least squares: 0 is flat, 1 linear.
func exponent(sizes []int, costs []float64) float64 {
	var sx, sy, sxx, sxy float64
	for i, n := range sizes {
		x, y := math.Log(float64(n)), math.Log(costs[i])
		sx, sy, sxx, sxy = sx+x, sy+y, sxx+x*x, sxy+x*y
	}
	n := float64(len(sizes))
	return (n*sxy - sx*sy) / (n*sxx - sx*sx)
}

// curve collects, round by round, what something costs at several sizes.
type curve struct {
	name  string // of what grows, and what is measured: growth_NAME
	unit  string
	sizes []int
	costs map[int][]float64
}

func newCurve(name, unit string, sizes ...int) *curve {
	return &curve{name, unit, sizes, map[int][]float64{}}
}

// add writes the cost at each size, the exponent, and the cost at the largest beside that at the smallest.
func (c *curve) add(r *report) {
	var exponents, ends []float64
	for round := range c.costs[c.sizes[0]] {
		var costs []float64
		for _, n := range c.sizes {
			costs = append(costs, c.costs[n][round])
		}
		exponents = append(exponents, exponent(c.sizes, costs))
		ends = append(ends, costs[len(costs)-1]/costs[0])
	}
	for _, n := range c.sizes {
		r.add(fmt.Sprintf("growth_%s_%s_%d", c.name, c.unit, n), c.costs[n])
	}
	r.add("growth_"+c.name+"_exponent", exponents)
	r.add(fmt.Sprintf("growth_%s_%d_vs_%d", c.name, c.sizes[len(c.sizes)-1], c.sizes[0]), ends)
}

// growEvents are recorded at each size and round, and where more than that are stored growWarm before them: the first change of a page
// after a checkpoint writes all of it to the log. A larger table has more such pages, but checkpoints are minutes apart.
const (
	growEvents = 20_000
	growWarm   = 10_000
)

// growing measures the processor time of recording one message, this process' and Postgres' together, as channels and as stored messages
// grow. What the index of words has put off is done within each round, so that none pays for another one's.
func growing(r *report, database string, rounds, stored int) error {
	ctx := context.Background()
	channels := newCurve("ingest_channels", "cpu_us", 50, 500, 5000)
	d, err := newDepot(ctx, database, 5000)
	if err != nil {
		return err
	}
	defer func() { _ = d.stop() }()
	for range rounds {
		for _, n := range channels.sizes {
			c, err := d.recordAll(ctx, d.messages(growEvents, n))
			if err != nil {
				return err
			}
			channels.costs[n] = append(channels.costs[n], (c.own+c.theirs)/growEvents*1e6)
		}
	}
	channels.add(r)

	sizes := storedSizes(stored)
	messages := newCurve("ingest_messages", "cpu_us", sizes...)
	depots := map[int]*depot{}
	filled := func(n int) (*depot, error) {
		d, err := newDepot(ctx, database, lineChannels)
		if err != nil {
			return nil, err
		}
		// Half of a small one goes through the connections, which are as new as the table.
		err = pile(ctx, d.db, d.next, max(n/2, n-growWarm/2))
		if err == nil {
			_, err = d.recordAll(ctx, d.messages(min(n/2, growWarm/2), lineChannels))
		}
		if err != nil {
			_ = d.stop()
			return nil, fmt.Errorf("make %d messages: %w", n, err)
		}
		return d, nil
	}
	for _, n := range sizes {
		began := time.Now()
		if depots[n], err = filled(n); err != nil {
			return err
		}
		defer func() { _ = depots[n].stop() }()
		fmt.Fprintf(os.Stderr, "growth: %d messages made in %.1f s\n", n, time.Since(began).Seconds())
	}
	for round := range rounds {
		for i := range sizes {
			n := sizes[(i+round)%len(sizes)]
			d := depots[n]
			switch {
			case n > growEvents:
				_, err = d.recordAll(ctx, d.messages(growWarm, lineChannels))
			case round > 0:
				// The rounds before have made it larger. One that is emptied instead would get the memory of what it had, and would never
				// write that.
				if d, err = filled(n); err == nil {
					defer func() { _ = d.stop() }()
				}
			}
			if err != nil {
				return err
			}
			c, err := d.recordAll(ctx, d.messages(growEvents, lineChannels))
			if err != nil {
				return err
			}
			fmt.Fprintf(os.Stderr, "growth round %d, %8d stored: %.1f µs CPU a message and %.1f of Postgres\n", round+1, n, c.own/growEvents*1e6, c.theirs/growEvents*1e6)
			messages.costs[n] = append(messages.costs[n], (c.own+c.theirs)/growEvents*1e6)
		}
	}
	messages.add(r)
	return nil
}

// recordAll is record with the work that the index of words puts off.
func (d *depot) recordAll(ctx context.Context, all []tidings.Message) (cost, error) {
	return d.measure(func() (float64, error) {
		took, err := recorded(ctx, d.in, all)
		if err != nil {
			return took, err
		}
		began := time.Now()
		err = d.exec(ctx, `SELECT gin_clean_pending_list('messages_words')`)
		return took + time.Since(began).Seconds(), err
	})
}

// spreading measures the line's processor time for one message as readers grow.
func spreading(r *report, database, redis string, rounds int) error {
	ctx := context.Background()
	readers := newCurve("line_readers", "cpu_us", 10, 100, 1000)
	stretches := map[int]*stretch{}
	for _, n := range readers.sizes {
		u, _, drop, err := ownSchema(ctx, database)
		if err != nil {
			return err
		}
		defer drop()
		if stretches[n], err = newStretch(u, redis, n); err != nil {
			return err
		}
		defer stretches[n].stop()
	}
	const said, rate = 150, 50
	for round := range rounds {
		for i := range readers.sizes {
			n := readers.sizes[(i+round)%len(readers.sizes)]
			s := stretches[n]
			var before, after serverReport
			if err := s.p.server.ask(serverOrder{Do: "cpu"}, &before); err != nil {
				return err
			}
			if _, err := s.run(said, rate, n); err != nil {
				return fmt.Errorf("%d readers: %w", n, err)
			}
			if err := s.p.server.ask(serverOrder{Do: "cpu"}, &after); err != nil {
				return err
			}
			readers.costs[n] = append(readers.costs[n], (after.CPU-before.CPU)/said*1e6)
			fmt.Fprintf(os.Stderr, "growth round %d, %4d readers: %.0f µs CPU a message\n", round+1, n, readers.costs[n][round])
		}
	}
	readers.add(r)
	return nil
}

// remembering measures what the line holds as connections grow.
func remembering(r *report, database, redis string, rounds int) error {
	ctx := context.Background()
	size := func(readers int) (float64, error) {
		u, _, drop, err := ownSchema(ctx, database)
		if err != nil {
			return 0, err
		}
		defer drop()
		s, err := newStretch(u, redis, readers)
		if err != nil {
			return 0, err
		}
		defer s.stop()
		// What goes through fills whatever is kept of it.
		if _, err := s.run(300, 100, readers); err != nil {
			return 0, err
		}
		return s.resident()
	}
	connections := newCurve("memory_connections", "mb", 10, 100, 1000)
	for round := range rounds {
		for _, n := range connections.sizes {
			mb, err := size(n)
			if err != nil {
				return err
			}
			fmt.Fprintf(os.Stderr, "growth round %d, %d connections: %.1f MB\n", round+1, n, mb)
			connections.costs[n] = append(connections.costs[n], mb)
		}
	}
	connections.add(r)
	return nil
}

// resident is the service's memory in MB.
func (s *stretch) resident() (float64, error) {
	var m serverReport
	err := s.p.server.ask(serverOrder{Do: "memory"}, &m)
	return float64(m.RSS) / (1 << 20), err
}
