package hub

import "context"

// localBus is the bus of a process that is alone.
type localBus struct{}

func (localBus) publish(int, envelope) {}

func (localBus) run(context.Context) {}

func (localBus) remote() bool { return false }
