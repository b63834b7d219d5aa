// Package hub knows who is connected. It serves the live socket, gives each change to the sockets whose person may see it,
// and tells the other processes through a bus. What a change is, is the store's business; who may see what is access'.
//
// One change, step by step:
//
//  1. [Hub.Tell] encodes a delta once, hands it to the bus, and dispatches it here.
//  2. gate.go: a delta that carries a newer access version than the hub has applied waits until access has been
//     reloaded and every connected person's channels have been compared; lost channels are gone before it passes.
//  3. sequence.go: a channel's versions leave in order. A hole is held briefly, then becomes a reset.
//  4. shard.go: each shard owns a part of the people and gives them what is theirs, in one write per connection and pass.
//     Many writes go to the kernel with one call where it allows that (ring_linux.go).
//  5. outbox.go: a socket that would block is never waited for. Past a bound it is dropped and comes back to a snapshot.
//
// Whoever comes back within minutes gets what was missed (resume.go), also from another process (history.go). A peer that says
// nothing takes no goroutine where that can be (poller_linux.go).
//
// What a crash or Redis loses is found by the sweep (sweep.go), which compares versions every few seconds.
//
// The lock order is Hub.mu, then shard.mu, then outbox.mu. A shard's loop holds many outboxes at once while a ring writes to them, and waits
// for nothing meanwhile.
package hub
