package hub_test

import (
	"net"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"
	"github.com/redis/go-redis/v9"

	"tidings"
	"tidings/hub"
)

// redisCluster is a Redis Cluster of three nodes without replicas.
type redisCluster struct {
	t     *testing.T
	addrs []string
	nodes []*redis.Client
	ids   []string
}

func startCluster(t *testing.T) *redisCluster {
	t.Helper()
	c := &redisCluster{t: t}
	for range 3 {
		port, bus := freePort(t), freePort(t)
		cmd := exec.Command("redis-server", "--port", port, "--cluster-port", bus, "--bind", "127.0.0.1", "--dir", t.TempDir(),
			"--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf", "--save", "", "--appendonly", "no", "--loglevel", "warning")
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		if err := cmd.Start(); err != nil {
			t.Fatalf("start a node: %v", err)
		}
		t.Cleanup(func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		})
		n := redis.NewClient(&redis.Options{Addr: "127.0.0.1:" + port, DisableIdentity: true})
		t.Cleanup(func() { n.Close() })
		eventually(t, "a node answers", func() bool { return n.Ping(bg).Err() == nil })
		c.addrs, c.nodes = append(c.addrs, "127.0.0.1:"+port), append(c.nodes, n)
		c.ids = append(c.ids, c.text(n, "CLUSTER", "MYID"))
		c.text(n, "CLUSTER", "SET-CONFIG-EPOCH", len(c.nodes))
		if len(c.nodes) > 1 {
			c.text(c.nodes[0], "CLUSTER", "MEET", "127.0.0.1", port, bus)
		}
	}
	for i, n := range c.nodes {
		c.text(n, "CLUSTER", "ADDSLOTSRANGE", i*16384/3, (i+1)*16384/3-1)
	}
	eventually(t, "the nodes agree", func() bool {
		for _, n := range c.nodes {
			info := c.text(n, "CLUSTER", "INFO")
			if !strings.Contains(info, "cluster_state:ok") || !strings.Contains(info, "cluster_known_nodes:3") {
				return false
			}
		}
		return true
	})
	return c
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}

func (c *redisCluster) text(n *redis.Client, args ...any) string {
	c.t.Helper()
	s, err := n.Do(bg, args...).Text()
	if err != nil {
		c.t.Fatalf("%v: %v", args, err)
	}
	return s
}

func (c *redisCluster) client() *redis.ClusterClient {
	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: c.addrs, DisableIdentity: true})
	c.t.Cleanup(func() { client.Close() })
	return client
}

// owner is the node that serves a bus channel, as that node itself says.
func (c *redisCluster) owner(channel string) int {
	c.t.Helper()
	owner := 0
	eventually(c.t, "a node serves "+channel, func() bool {
		for i, n := range c.nodes {
			if _, err := n.Do(bg, "GET", channel).Result(); err == nil || err == redis.Nil {
				owner = i
				return true
			}
		}
		return false
	})
	return owner
}

// listening waits until n hubs hear every bus channel at the node that serves it, and as shard channels only.
func (c *redisCluster) listening(prefix string, n int64) {
	c.t.Helper()
	for i := range 16 {
		name := prefix + "hub:" + strconv.Itoa(i)
		eventually(c.t, "the hubs listen", func() bool {
			subs, err := c.nodes[c.owner(name)].PubSubShardNumSub(bg, name).Result()
			return err == nil && subs[name] == n
		})
		for _, node := range c.nodes {
			if subs, err := node.PubSubNumSub(bg, name).Result(); err != nil || subs[name] > 0 {
				c.t.Errorf("%s is heard as a channel of the whole cluster: %v, %v", name, subs, err)
			}
		}
	}
}

// move gives a bus channel to the last node. It is always the same, because nodes that take slots from one another faster than
// they talk end with slots that are nobody's.
func (c *redisCluster) move(channel string) {
	c.t.Helper()
	slot, err := c.nodes[0].Do(bg, "CLUSTER", "KEYSLOT", channel).Int()
	if err != nil {
		c.t.Fatal(err)
	}
	from, to := c.owner(channel), len(c.nodes)-1
	if from == to {
		return
	}
	c.text(c.nodes[to], "CLUSTER", "SETSLOT", slot, "IMPORTING", c.ids[from])
	c.text(c.nodes[from], "CLUSTER", "SETSLOT", slot, "MIGRATING", c.ids[to])
	for i := range c.nodes {
		c.text(c.nodes[(to+i)%len(c.nodes)], "CLUSTER", "SETSLOT", slot, "NODE", c.ids[to])
	}
}

// Changes go from process to process through a Cluster's shard channels, each at the node that serves it, also after its slot
// has moved and after every connection was cut; who comes back to another process is resumed.
func TestThroughACluster(t *testing.T) {
	t.Parallel()
	cluster := startCluster(t)
	const prefix = "t:"
	w := newWorld()
	var channels []discord.ChannelID
	for i := range 24 { // guilds, for all of the bus' channels
		c := discord.ChannelID(6000 + i)
		w.guild(discord.GuildID(300+i), []discord.UserID{anna}, c)
		channels = append(channels, c)
	}
	one := start(t, newProcess(w), hub.Options{Redis: cluster.client(), Prefix: prefix}, nil)
	two := start(t, newProcess(w), hub.Options{Redis: cluster.client(), Prefix: prefix}, nil)
	cluster.listening(prefix, 2)
	a := two.dial(t, anna)
	a.send(`{"op":"watch","all":true}`)
	a.settle()
	tell := func(c discord.ChannelID) int64 {
		d := w.create(c, carl, tidings.Mentions{})
		one.Tell(bg, told(d))
		return d.Version
	}
	whole := func(when string) {
		t.Helper()
		for _, c := range channels {
			if f := a.delta(c, tell(c)); f.K != "create" {
				t.Errorf("%s: %s, want the change itself", when, f.raw)
			}
			a.next("message")
		}
	}
	whole("at first")

	for i := range 16 {
		cluster.move(prefix + "hub:" + strconv.Itoa(i))
	}
	cluster.listening(prefix, 2)
	for _, c := range channels { // what was said while nobody heard it is told by the sweep
		a.delta(c, tell(c))
	}
	whole("after the slots have moved")

	stop := make(chan struct{})
	var teller sync.WaitGroup
	last := map[discord.ChannelID]int64{}
	teller.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
				c := channels[i%len(channels)]
				last[c] = tell(c)
			}
		}
	})
	for range 2 {
		for _, n := range cluster.nodes {
			if err := n.Do(bg, "CLIENT", "KILL", "TYPE", "pubsub").Err(); err != nil {
				t.Fatal(err)
			}
		}
		cluster.listening(prefix, 2)
	}
	close(stop)
	teller.Wait()
	for c, v := range last {
		a.reaches(c, v)
	}

	b := one.dial(t, anna)
	cursor := b.leave(one)
	eventually(t, "the journal is written", one.Journaled)
	v := tell(channels[0])
	a.delta(channels[0], v)
	s, hello := two.resume(t, anna, cursor, b)
	if !hello.Resumed {
		t.Errorf("hello = %s, want it resumed", hello.raw)
	}
	if f := s.delta(channels[0], v); f.K != "create" {
		t.Errorf("what was missed = %s, want the change itself", f.raw)
	}
}
