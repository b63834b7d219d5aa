package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
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
}

func connect(kind, redis string, n int, readers string) (*pair, error) {
	s, err := start("server", kind, redis, strconv.Itoa(n))
	if err != nil {
		return nil, err
	}
	p := &pair{server: s, kind: kind}
	var up serverReport
	if err := s.ask(nil, &up); err != nil {
		p.stop()
		return nil, fmt.Errorf("start %s: %w", kind, err)
	}
	if p.clients, err = start("clients"); err != nil {
		p.stop()
		return nil, err
	}
	var r clientReport
	if err := p.clients.ask(clientOrder{Do: "connect", Addr: up.Addr, Kind: readers, N: n}, &r); err != nil || r.Err != "" {
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
