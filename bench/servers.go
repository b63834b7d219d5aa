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
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"tidings/hub"
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
	// inFlight is how many messages a server may be ahead of its readers when it publishes as fast as it goes.
	inFlight = 128
)

// serverConfig says what a server process is to be.
type serverConfig struct {
	Kind     string // tidings, whole, centrifuge, floor; -memory without Redis
	Redis    string
	Users    int
	Channels int           // 0 for the usual
	Window   time.Duration // of ours
	Size     int           // of the floor's messages; 0 for the usual
	Prefix   string        // of ours in Redis, for those that are to hear one another
	Database string        // of a whole one
	Listen   string        // "" for any free port
	Count    string        // the file in which the readers count what they have
	// Discord and Token are for the line from the gateway on.
	Discord, Token string
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
	case "whole":
		s, err = newWhole(ctx, c)
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
	if c.Listen == "" {
		c.Listen = "127.0.0.1:0"
	}
	l, err := hub.Listen(ctx, c.Listen)
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
	seen, err := sharedCount(c.Count)
	if err != nil {
		return err
	}
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
			r = publish(s, o, c.Users, seen)
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

// sharedCount is a number in a file, which readers and server share.
func sharedCount(file string) (*int64, error) {
	if file == "" {
		return new(int64), nil
	}
	f, err := os.OpenFile(file, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := f.Truncate(8); err != nil {
		return nil, err
	}
	b, err := syscall.Mmap(int(f.Fd()), 0, 8, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	if err != nil {
		return nil, err
	}
	return (*int64)(unsafe.Pointer(&b[0])), nil
}

// publish keeps to the rate, in bursts when asked; a rate of 0 is as fast as it goes, which is as fast as the readers get it.
func publish(s server, o serverOrder, readers int, seen *int64) serverReport {
	var r serverReport
	began := time.Now()
	length := time.Duration(o.MS) * time.Millisecond
	burst := max(1, o.Burst)
	spread := channels
	if o.One {
		spread = 1
	}
	for i := 0; ; i++ {
		for o.Rate == 0 && atomic.LoadInt64(seen) < int64(i-inFlight)*int64(readers) {
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
