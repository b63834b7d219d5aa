package tidings

import "time"

// GatewaySession is what a shard needs to go on where it, or another process, stopped.
type GatewaySession struct {
	Shard     int    `db:"shard"`
	Shards    int    `db:"shards"`
	Session   string `db:"session_id"` // "" when there is none to resume
	ResumeURL string `db:"resume_url"`
	Seq       int64  `db:"seq"`         // everything up to here is committed
	Epoch     int64  `db:"lease_epoch"` // of the lease under which this process runs the shard
}

// ShardHealth is how the connection of a shard does, for operators. Its numbers are since the process has started.
type ShardHealth struct {
	LastEvent  time.Time     // when Discord last told something; zero for never
	RoundTrip  time.Duration // of the last heartbeat, 0 when none was acknowledged
	Resumes    int64
	Identifies int64
	Lost       int64 // sequences that Discord left out and did not replay
}
