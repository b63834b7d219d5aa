package hub

import (
	"context"
	"errors"
	"net"
	"syscall"
)

// What net.Listen sets for each connection that it accepts.
const (
	keepIdle     = 15 // seconds
	keepInterval = 15 // seconds
	keepCount    = 9
)

// Listen listens on a TCP address for connections of which many become live sockets. Dead peers are noticed as with [net.Listen]; but the kernel
// is told so once, by options of the listening socket that the accepted ones have from it, and not by four calls for each of them.
func Listen(ctx context.Context, address string) (net.Listener, error) {
	var refused error
	c := net.ListenConfig{KeepAlive: -1, Control: func(_, _ string, raw syscall.RawConn) error {
		return raw.Control(func(fd uintptr) { refused = keepAlive(int(fd)) })
	}}
	l, err := c.Listen(ctx, "tcp", address)
	if err != nil || refused == nil {
		return l, err
	}
	_ = l.Close()
	return net.Listen("tcp", address) // this kernel wants the calls
}

func keepAlive(fd int) error {
	return errors.Join(
		syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_KEEPALIVE, 1),
		syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE, keepIdle),
		syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_KEEPINTVL, keepInterval),
		syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_KEEPCNT, keepCount),
	)
}
