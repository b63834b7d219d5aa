//go:build !linux

package hub

import (
	"context"
	"errors"
)

// poller is not there: each connection waits for its peer in a goroutine of its own.
type poller struct{}

func newPoller() (*poller, error) { return nil, errors.ErrUnsupported }

func (*poller) run(context.Context) {}

func (*poller) arm(*outbox) error { return errors.ErrUnsupported }

func (*poller) forget(uint64) {}

func (*poller) waiting() int { return 0 }

func (o *outbox) readNow([]byte) (int, error) { return 0, errors.ErrUnsupported }
