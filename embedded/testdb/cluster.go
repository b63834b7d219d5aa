package testdb

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// RedisClusterServers is a Redis Cluster of a test's own: as many replicas as masters, each in a process that can be killed. It
// listens on loopback addresses, because a cluster has no unix sockets.
type RedisClusterServers struct {
	t     testing.TB
	nodes []*clusterNode
}

type clusterNode struct {
	addr, dir string
	args      []string  // of redis-server
	in        io.Closer // closing it kills the server
	cmd       *exec.Cmd // nil while it is down
}

// RedisCluster starts a cluster of this many masters and as many replicas. It takes some seconds; the test's end stops it.
func RedisCluster(t testing.TB, masters int) *RedisClusterServers {
	t.Helper()
	c := &RedisClusterServers{t: t}
	t.Cleanup(func() {
		for i := range c.nodes {
			c.Kill(i)
		}
	})
	for range 2 * masters {
		n := &clusterNode{addr: clusterAddress(t), dir: serverDir(t)}
		_, port, _ := net.SplitHostPort(n.addr)
		n.args = []string{
			"--bind", "127.0.0.1", "--port", port, "--cluster-enabled", "yes", "--cluster-config-file", filepath.Join(n.dir, "nodes.conf"),
			"--cluster-node-timeout", "2000", "--cluster-require-full-coverage", "no", "--save", "", "--appendonly", "no", "--repl-diskless-sync-delay", "0",
		}
		c.nodes = append(c.nodes, n)
		c.Start(len(c.nodes) - 1)
	}
	const slots = 16384
	for i, n := range c.nodes {
		c.do(n, "CLUSTER", "SET-CONFIG-EPOCH", i+1)
		if i < masters {
			c.do(n, "CLUSTER", "ADDSLOTSRANGE", i*slots/masters, (i+1)*slots/masters-1)
		}
		host, port, _ := net.SplitHostPort(n.addr)
		for _, other := range c.nodes[:i] {
			c.do(other, "CLUSTER", "MEET", host, port)
		}
	}
	for i, n := range c.nodes[masters:] {
		id := c.do(c.nodes[i], "CLUSTER", "MYID")
		c.wait("a replica has met its master", func() bool { return strings.Contains(c.do(n, "CLUSTER", "NODES"), id) })
		c.do(n, "CLUSTER", "REPLICATE", id)
	}
	for _, n := range c.nodes[masters:] {
		// One that never had its master's data does not take its place.
		c.wait("a replica has what its master has", func() bool { return strings.Contains(c.do(n, "INFO", "replication"), "master_link_status:up") })
	}
	for _, n := range c.nodes {
		c.wait("the cluster knows itself", func() bool {
			return strings.Contains(c.do(n, "CLUSTER", "INFO"), "cluster_state:ok") && strings.Count(c.do(n, "CLUSTER", "NODES"), "slave") == masters
		})
	}
	return c
}

// Addresses lists the nodes, masters first as they were at the start.
func (c *RedisClusterServers) Addresses() (all []string) {
	for _, n := range c.nodes {
		all = append(all, n.addr)
	}
	return all
}

// URL is what REDIS_URL takes.
func (c *RedisClusterServers) URL() string { return "redis://" + strings.Join(c.Addresses(), ",") }

// Masters lists the nodes that have slots now and can be reached, by their places in Addresses.
func (c *RedisClusterServers) Masters() (list []int) {
	for i, n := range c.nodes {
		if n.cmd == nil {
			continue
		}
		for line := range strings.Lines(c.do(n, "CLUSTER", "NODES")) {
			if f := strings.Fields(line); len(f) > 8 && strings.Contains(f[2], "myself") && strings.Contains(f[2], "master") {
				list = append(list, i)
			}
		}
	}
	return list
}

// RedisSentinelServers is a master, its replica and three Sentinels of a test's own.
type RedisSentinelServers struct{ *RedisClusterServers }

// RedisSentinel starts them. The master is server 0, the replica 1, the Sentinels are 2 to 4.
func RedisSentinel(t testing.TB) *RedisSentinelServers {
	t.Helper()
	c := &RedisSentinelServers{&RedisClusterServers{t: t}}
	t.Cleanup(func() {
		for i := range c.nodes {
			c.Kill(i)
		}
	})
	add := func(config string) {
		n := &clusterNode{addr: clusterAddress(t), dir: serverDir(t)}
		_, port, _ := net.SplitHostPort(n.addr)
		file := filepath.Join(n.dir, "redis.conf") // Sentinels write theirs
		if err := os.WriteFile(file, []byte("bind 127.0.0.1\nport "+port+"\ndir "+n.dir+"\n"+config), 0o600); err != nil {
			t.Fatal(err)
		}
		n.args = []string{file}
		if strings.HasPrefix(config, "sentinel") {
			n.args = append(n.args, "--sentinel")
		}
		c.nodes = append(c.nodes, n)
		c.Start(len(c.nodes) - 1)
	}
	const memory = "save \"\"\nrepl-diskless-sync-delay 0\n"
	add(memory)
	host, port, _ := net.SplitHostPort(c.nodes[0].addr)
	add(memory + "replicaof " + host + " " + port + "\n")
	c.wait("the replica has what the master has", func() bool { return strings.Contains(c.do(c.nodes[1], "INFO", "replication"), "master_link_status:up") })
	for range 3 {
		add("sentinel monitor tidings " + host + " " + port + " 2\nsentinel down-after-milliseconds tidings 1500\nsentinel failover-timeout tidings 5000\n")
	}
	for _, n := range c.nodes[2:] {
		c.wait("the Sentinels know each other and the replica", func() bool {
			info := c.do(n, "INFO", "sentinel")
			return strings.Contains(info, "slaves=1") && strings.Contains(info, "sentinels=3")
		})
	}
	return c
}

// URL is what REDIS_URL takes.
func (c *RedisSentinelServers) URL() string {
	return "redis://" + strings.Join(c.Addresses()[2:], ",") + "?master_name=tidings"
}

// Kill ends a node with SIGKILL.
func (c *RedisClusterServers) Kill(i int) {
	n := c.nodes[i]
	if n.cmd == nil {
		return
	}
	n.in.Close()
	_ = n.cmd.Wait() // it was killed
	n.cmd = nil
}

// Start starts a node that is down, without what it held, and returns when it answers.
func (c *RedisClusterServers) Start(i int) {
	c.t.Helper()
	n := c.nodes[i]
	// The shell ends the server when its input ends, also when that is because this process was killed.
	cmd := exec.Command("sh", append([]string{"-c", `"$@" >redis.log 2>&1 & p=$!; read _; kill -9 $p; wait $p 2>/dev/null`, "sh", "redis-server"}, n.args...)...)
	cmd.Dir = n.dir
	in, err := cmd.StdinPipe()
	if err != nil {
		c.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		c.t.Fatalf("start a node of a Redis Cluster: %v", err)
	}
	n.cmd, n.in = cmd, in
	c.wait("a node of the cluster answers", func() bool {
		client := redis.NewClient(&redis.Options{Addr: n.addr, MaxRetries: -1, DialerRetries: 1})
		defer client.Close()
		return client.Ping(context.Background()).Err() == nil
	})
}

// do sends one command to one node.
func (c *RedisClusterServers) do(n *clusterNode, args ...any) string {
	c.t.Helper()
	client := redis.NewClient(&redis.Options{Addr: n.addr})
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	v, err := client.Do(ctx, args...).Result()
	if err != nil {
		c.t.Fatalf("%v: %v", args, err)
	}
	return fmt.Sprint(v)
}

func (c *RedisClusterServers) wait(what string, ok func() bool) {
	c.t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !ok(); <-time.After(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			c.t.Fatalf("still not: %s", what)
		}
	}
}

// clusterAddress is one on which nobody listens, with a port that leaves room for the cluster's own, which is 10,000 higher.
func clusterAddress(t testing.TB) string {
	t.Helper()
	for range 100 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		port := l.Addr().(*net.TCPAddr).Port
		l.Close()
		if port > 55535 {
			port -= 20000
		}
		free := true
		for _, p := range []int{port, port + 10000} {
			if l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(p)); err != nil {
				free = false
			} else {
				l.Close()
			}
		}
		if free {
			return "127.0.0.1:" + strconv.Itoa(port)
		}
	}
	t.Fatal("no port is free for a Redis Cluster")
	return ""
}
