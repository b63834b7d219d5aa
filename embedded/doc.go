// Package embedded runs Postgres and Redis as children of this process, for the default without servers.
//
// [StartPostgres] and [StartRedis] each take a directory that is theirs alone:
//
//	lock          held by the process that runs the server; names it and its pid
//	cluster/      Postgres's data. It is never wiped, whatever is found in it
//	run/          the unix socket, enterable by the server's user only; nothing listens on TCP and there is no password
//	*.log         what the server printed
//
// The programs are the system's own; nothing is downloaded. When Postgres is missing the error holds the command to type;
// when Redis is missing, a small one inside this process takes its place, with a warning.
//
// # Who runs the server
//
// The first process on a directory runs the server. A second one finds the lock held, waits until the server answers and
// uses it too; when the first process ends, in whatever way, the second takes the lock and starts the server anew under
// the same URL, so that its connections break once and can be made again.
//
// A server that ends although nobody stopped it is started again, with a growing pause. When that does not help, Exited
// closes and Err says why: the caller stops then.
//
// The servers do not hear Ctrl-C (they have a process group of their own), so that the caller can drain before it calls
// Stop. When the caller is killed, Linux ends them with it; elsewhere the next start ends them.
//
// Postgres refuses to run as root. A caller that is root runs it as the user postgres, else nobody. Where neither may pass
// through the directories above, as below root's home, it keeps the right to pass, and no other of root's; where root may
// not give that away, it runs in a user namespace in which root's files are an ordinary user's.
package embedded
