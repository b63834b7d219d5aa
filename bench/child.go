package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
)

// child is this program once more, as a server or as the readers.
type child struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	enc *json.Encoder
	dec *json.Decoder
}

func start(args ...string) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, args...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return &child{cmd, in, json.NewEncoder(in), json.NewDecoder(out)}, nil
}

func (c *child) ask(order, report any) error {
	if order != nil {
		if err := c.enc.Encode(order); err != nil {
			return err
		}
	}
	return c.dec.Decode(report)
}

func (c *child) stop() {
	_ = c.in.Close()
	_ = c.cmd.Process.Kill()
	_ = c.cmd.Wait()
}

// pair is a server and its readers, connected.
type pair struct {
	server, clients *child
	kind            string
	readers         int
	addr            string
}

// connect starts a server and n readers of it, of the server's kind when none is named.
func connect(c serverConfig, n int, readers string) (*pair, error) {
	count, err := os.CreateTemp("", "bench-count-")
	if err != nil {
		return nil, err
	}
	count.Close()
	defer os.Remove(count.Name()) // both have it open by the end
	c.Count = count.Name()
	config, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	s, err := start("server", string(config))
	if err != nil {
		return nil, err
	}
	kind, _ := strings.CutSuffix(c.Kind, "-memory")
	if readers == "" {
		readers = kind
	}
	p := &pair{server: s, kind: c.Kind, readers: n}
	var up serverReport
	if err := s.ask(nil, &up); err != nil {
		p.stop()
		return nil, fmt.Errorf("start %s: %w", kind, err)
	}
	p.addr = up.Addr
	if p.clients, err = start("clients"); err != nil {
		p.stop()
		return nil, err
	}
	var r clientReport
	if err := p.clients.ask(clientOrder{Do: "connect", Addr: up.Addr, Kind: readers, N: n, Count: c.Count}, &r); err != nil || r.Err != "" {
		p.stop()
		return nil, fmt.Errorf("connect to %s: %v %s", kind, err, r.Err)
	}
	return p, nil
}

func (p *pair) stop() {
	if p.clients != nil {
		p.clients.stop()
	}
	p.server.stop()
}
