// Package sim is a faithful Discord on loopback: REST, gateway and OAuth2, with a world of people who talk. It is what
// the demo runs on and what the tests drive. It shares no code with the rest of this module and none with a client
// library, so that a misunderstanding cannot be on both sides.
//
// People's acts are Discord's own calls: every simulated person has a token, and a POST to
// /api/v10/channels/{id}/messages with that token is that person speaking. Only what Discord has no call for lives
// under /sim/. docs/SIM.md describes how to use it alone, as a test double for any Discord bot.
//
// # The lock
//
// One mutex, [Sim].mu, guards the whole world: users, guilds, channels, messages, grants, gateway sessions and their
// buffers, faults, limits and the log. It is taken at the doors only: the REST wrapper (rest.go), the gateway's reader
// and writer (gateway.go), the replay and people loops, and the saving of state. Everything behind a door is called
// with the lock held and says nothing of it. Nothing that waits (a socket, a file, a timer) happens under it: answers
// are encoded under the lock and written after it, events are appended to the sessions' buffers under the lock and
// written by each connection's own goroutine. So the world changes in one order, and every session sees that order.
package sim
