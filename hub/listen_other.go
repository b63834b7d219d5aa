//go:build !linux

package hub

import (
	"context"
	"net"
)

// Listen listens on a TCP address for connections of which many become live sockets.
func Listen(ctx context.Context, address string) (net.Listener, error) {
	var c net.ListenConfig
	return c.Listen(ctx, "tcp", address)
}
