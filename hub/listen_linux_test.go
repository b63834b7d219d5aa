package hub

import (
	"net"
	"syscall"
	"testing"
)

// Who goes away without a word is noticed as soon on a socket of ours as on one of net.Listen.
func TestAcceptedConnectionsAreKeptAlive(t *testing.T) {
	theirs, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ours, err := Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	want, got := keptAlive(t, theirs), keptAlive(t, ours)
	if got != want {
		t.Errorf("keep-alive, idle, interval, count = %v, with net.Listen %v", got, want)
	}
}

// keptAlive reads the four options of a connection that l accepts.
func keptAlive(t *testing.T, l net.Listener) (out [4]int) {
	t.Helper()
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	err = raw.Control(func(fd uintptr) {
		for i, opt := range [4][2]int{
			{syscall.SOL_SOCKET, syscall.SO_KEEPALIVE}, {syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE},
			{syscall.IPPROTO_TCP, syscall.TCP_KEEPINTVL}, {syscall.IPPROTO_TCP, syscall.TCP_KEEPCNT},
		} {
			n, err := syscall.GetsockoptInt(int(fd), opt[0], opt[1])
			if err != nil {
				t.Error(err)
			}
			out[i] = n
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}
