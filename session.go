package tidings

// GatewaySession is what a shard needs to go on where it, or another process, stopped.
type GatewaySession struct {
	Shard     int    `db:"shard"`
	Shards    int    `db:"shards"`
	Session   string `db:"session_id"` // "" when there is none to resume
	ResumeURL string `db:"resume_url"`
	Seq       int64  `db:"seq"`         // everything up to here is committed
	Epoch     int64  `db:"lease_epoch"` // of the lease under which this process runs the shard
}
