package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
)

// floor is what no server can beat: a prebuilt frame, and one write(2) of it for each connection.
type floor struct {
	size int // of a message

	mu  sync.Mutex
	fds []int
	all []net.Conn
}

func (f *floor) serve(_ context.Context, l net.Listener) error {
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go f.accept(c)
	}
}

func (f *floor) accept(c net.Conn) {
	if _, err := http.ReadRequest(bufio.NewReaderSize(c, 1024)); err != nil {
		c.Close()
		return
	}
	fmt.Fprint(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.all = append(f.all, c)
	_ = raw.Control(func(fd uintptr) { f.fds = append(f.fds, int(fd)) })
}

func (f *floor) publish(at int64, channel int) error {
	body := message(at, channel, f.size)
	b := []byte{0x81, 126, 0, 0}
	binary.BigEndian.PutUint16(b[2:], uint16(len(body)))
	b = append(b, body...)
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, fd := range f.fds {
		for rest := b; len(rest) > 0; {
			n, err := syscall.Write(fd, rest)
			if err == syscall.EAGAIN || err == syscall.EINTR {
				continue
			}
			if err != nil {
				return err
			}
			rest = rest[n:]
		}
	}
	return nil
}

// text is the part of a message that is always the same: words, so that compression finds what it finds in people's messages.
var text = strings.Repeat("the quick brown fox jumps over a lazy dog; ", payload/43+1)

// message is a JSON object of payload bytes with the time of publishing in it.
func message(at int64, channel, size int) []byte {
	b := fmt.Appendf(make([]byte, 0, size), `{"id":"%019d","c":"%d","x":"`, at, channel)
	return append(append(b, text[:size-len(b)-2]...), '"', '}')
}
