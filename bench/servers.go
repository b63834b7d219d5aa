package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// server is one of those that are compared. publish gives everybody connected one message whose id is at.
type server interface {
	publish(at int64, channel int) error
	serve(ctx context.Context, l net.Listener) error
}

const (
	firstUser = 1_000_001
	channels  = 50
	// payload is the size of the JSON object that every server gives to every reader for one message, in what else it sends with it.
	payload = 500
	// probes are connections that a server makes to itself to know how far its readers are when it publishes as fast as it goes,
	// and inFlight how many messages it may be ahead of them.
	probes   = 4
	inFlight = 128
)

// serverConfig says what a server process is to be.
type serverConfig struct {
	Kind     string // tidings, centrifuge, floor; -memory without Redis
	Redis    string
	Users    int
	Channels int           // 0 for the usual
	Window   time.Duration // of ours
	Size     int           // of the floor's messages; 0 for the usual
	// Database, Discord and Token are for the whole line.
	Database, Discord, Token string
}

type serverOrder struct {
	Do    string // publish, cpu, memory, profile
	Rate  float64
	Burst int
	MS    int
	One   bool   // all into the first channel
	File  string // of a profile; "" ends it
}

type serverReport struct {
	Addr      string
	Err       string
	Published int
	CPU       float64 // seconds
	Took      float64 // seconds
	RSS       int64   // bytes
	Bytes     int64   // allocated
}

func cpu() float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	s := func(t syscall.Timeval) float64 { return float64(t.Sec) + float64(t.Usec)/1e6 }
	return s(u.Utime) + s(u.Stime)
}

func rss() int64 {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	pages, _ := strconv.ParseInt(strings.Fields(string(b))[1], 10, 64)
	return pages * int64(os.Getpagesize())
}

// runServer serves on a free port and does what its input asks.
func runServer(config string) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var c serverConfig
	if err := json.Unmarshal([]byte(config), &c); err != nil {
		return err
	}
	if c.Channels == 0 {
		c.Channels = channels
	}
	kind, alone := strings.CutSuffix(c.Kind, "-memory")
	if alone {
		c.Redis = ""
	}
	var s server
	var err error
	switch kind {
	case "tidings":
		s, err = newTidings(ctx, c)
	case "centrifuge":
		s, err = newCentrifuge(c.Redis)
	case "floor":
		s = &floor{size: cmp.Or(c.Size, payload)}
	case "line":
		s, err = newLine(ctx, c)
	default:
		err = fmt.Errorf("no server %q", kind)
	}
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	go func() {
		if err := s.serve(ctx, l); err != nil && ctx.Err() == nil {
			fmt.Fprintln(os.Stderr, kind, err)
			os.Exit(1)
		}
	}()
	in, out := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	var ahead *clients
	if err := out.Encode(serverReport{Addr: l.Addr().String()}); err != nil {
		return err
	}
	for {
		var o serverOrder
		if err := in.Decode(&o); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		var r serverReport
		switch o.Do {
		case "publish":
			if o.Rate == 0 && ahead == nil {
				if ahead, err = probe(kind, l.Addr().String(), c.Users); err != nil {
					return err
				}
			}
			r = publish(s, o, ahead)
		case "profile":
			if err := profile(o.File); err != nil {
				return err
			}
		case "cpu":
			r.CPU = cpu()
		case "memory":
			for range 3 {
				runtime.GC()
			}
			debug.FreeOSMemory()
			r.RSS = rss()
		}
		if err := out.Encode(r); err != nil {
			return err
		}
	}
}

// profile begins a CPU profile, or ends it.
func profile(file string) error {
	if file == "" {
		pprof.StopCPUProfile()
		return nil
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	return pprof.StartCPUProfile(f)
}

// probe connects some readers within the server's own process.
func probe(kind, address string, users int) (*clients, error) {
	c, err := newClients()
	if err != nil {
		return nil, err
	}
	go c.poll()
	return c, c.connect(clientOrder{Addr: address, Kind: kind, N: probes, First: users})
}

// publish keeps to the rate, in bursts when asked; a rate of 0 is as fast as it goes, which is as fast as the readers get it.
func publish(s server, o serverOrder, ahead *clients) serverReport {
	var r serverReport
	began := time.Now()
	length := time.Duration(o.MS) * time.Millisecond
	burst := max(1, o.Burst)
	spread := channels
	if o.One {
		spread = 1
	}
	if ahead != nil {
		ahead.reset()
	}
	for i := 0; ; i++ {
		for o.Rate == 0 && ahead.count() < (i-inFlight)*probes {
			time.Sleep(50 * time.Microsecond)
		}
		if o.Rate > 0 && i%burst == 0 {
			time.Sleep(time.Until(began.Add(time.Duration(float64(i) / o.Rate * float64(time.Second)))))
		}
		if time.Since(began) >= length {
			break
		}
		if err := s.publish(time.Now().UnixNano(), i%spread); err != nil {
			r.Err = err.Error()
			break
		}
		r.Published++
	}
	if o.Rate > 0 {
		time.Sleep(time.Until(began.Add(length)))
	}
	r.Took = time.Since(began).Seconds()
	return r
}
