package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"runtime/debug"
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
	// filler makes each server send about 500 bytes for one message.
	filler = 330
)

type serverOrder struct {
	Do    string // publish, cpu, memory
	Rate  float64
	Burst int
	MS    int
	Most  int // messages; 0 for no bound
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
func runServer(kind, redis string, users int) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var s server
	var err error
	switch kind {
	case "tidings":
		s, err = newTidings(ctx, redis, users)
	case "centrifuge":
		s, err = newCentrifuge(redis)
	case "floor":
		s = &floor{}
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
			r = publish(s, o)
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

// publish keeps to the rate, in bursts when asked; a rate of 0 is as fast as it goes.
func publish(s server, o serverOrder) serverReport {
	var r serverReport
	began := time.Now()
	length := time.Duration(o.MS) * time.Millisecond
	burst := max(1, o.Burst)
	for i := 0; o.Most == 0 || i < o.Most; i++ {
		if o.Rate > 0 && i%burst == 0 {
			time.Sleep(time.Until(began.Add(time.Duration(float64(i) / o.Rate * float64(time.Second)))))
		}
		if time.Since(began) >= length {
			break
		}
		if err := s.publish(time.Now().UnixNano(), i%channels); err != nil {
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
