package main

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"tidings/embedded/testdb"
)

func TestRedisURL(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, url, kind string
		addresses       []string
		fault           string
	}{
		{name: "one server", url: "redis://a:6379/2", kind: "*redis.Client", addresses: []string{"a:6379"}},
		{name: "one server with TLS", url: "rediss://:secret@a", kind: "*redis.Client", addresses: []string{"a:6379"}},
		{name: "a socket", url: "unix:///run/redis.sock", kind: "*redis.Client", addresses: []string{"/run/redis.sock"}},
		{name: "a cluster", url: "redis://a:1,redis://b:2", kind: "*redis.ClusterClient", addresses: []string{"a:1", "b:2"}},
		{name: "a cluster, written short", url: "rediss://me:secret@a:1, b:2,c", kind: "*redis.ClusterClient", addresses: []string{"a:1", "b:2", "c:6379"}},
		{name: "a cluster behind one name", url: "redis://a:1?cluster=true", kind: "*redis.ClusterClient", addresses: []string{"a:1"}},
		{name: "Sentinels", url: "redis://a:1/3?master_name=m&sentinel_password=x,b:2", kind: "*redis.Client", addresses: []string{"a:1", "b:2"}},
		{name: "a database of a cluster", url: "redis://a:1/3,b:2", fault: "a cluster has no database 3"},
		{name: "mixed", url: "redis://a:1,rediss://b:2", fault: "are mixed"},
		{name: "neither", url: "redis://a:1?cluster=yes", fault: "neither true nor false"},
		{name: "both", url: "redis://a:1?cluster=true&master_name=m", fault: "at once"},
		{name: "a password for nobody", url: "redis://a:1?sentinel_password=x", fault: "need master_name"},
		{name: "not a URL", url: "redis://secret%zz@a:1", fault: "not a URL"},
		{name: "an unknown option", url: "redis://a:1?colour=red", fault: "colour"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o, err := redisOptions(tt.url)
			if tt.fault != "" {
				if err == nil || !strings.Contains(err.Error(), tt.fault) || strings.Contains(err.Error(), "secret") {
					t.Errorf("redisOptions() error = %v, want one with %q", err, tt.fault)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			c := newRedis(o)
			defer c.Close()
			if kind := fmt.Sprintf("%T", c); kind != tt.kind || !reflect.DeepEqual(o.Addrs, tt.addresses) {
				t.Errorf("it is a %s of %q, want a %s of %q", kind, o.Addrs, tt.kind, tt.addresses)
			}
			if strings.HasPrefix(tt.url, "rediss:") != (o.TLSConfig != nil) || o.TLSConfig != nil && len(tt.addresses) > 1 && o.TLSConfig.ServerName != "" {
				t.Errorf("TLS is %+v", o.TLSConfig)
			}
		})
	}
}

// When a master of the cluster dies, its keys can be written again once a replica has taken its place, not a minute later.
func TestRedisClusterWithoutAMaster(t *testing.T) {
	t.Parallel()
	servers := testdb.RedisCluster(t, 3)
	o, err := redisOptions(servers.URL())
	if err != nil {
		t.Fatal(err)
	}
	c := newRedis(o)
	t.Cleanup(func() { c.Close() })
	set := func() error {
		for i := range 100 {
			if err := c.Set(t.Context(), fmt.Sprint(i), i, 0).Err(); err != nil {
				return err
			}
		}
		return nil
	}
	if err := set(); err != nil {
		t.Fatal(err)
	}
	master := servers.Masters()[0]
	servers.Kill(master)
	eventually(t, "a replica has taken its master's place", time.Minute, func() bool { return len(servers.Masters()) == 3 })
	taken := time.Now()
	eventually(t, "every key can be written", time.Minute, func() bool { return set() == nil })
	// The client library's own interval is a minute.
	if late := time.Since(taken); late > 40*time.Second {
		t.Errorf("keys of the dead master could be written %v after its replica had taken its place", late)
	}
	servers.Start(master)
	eventually(t, "the old master has become a replica", time.Minute, func() bool { return len(servers.Masters()) == 3 })
	if err := c.Ping(context.Background()).Err(); err != nil {
		t.Error(err)
	}
}

// Sentinels say where the master is; when it dies they name another, and the client follows.
func TestRedisSentinel(t *testing.T) {
	t.Parallel()
	servers := testdb.RedisSentinel(t)
	o, err := redisOptions(servers.URL())
	if err != nil {
		t.Fatal(err)
	}
	c := newRedis(o)
	t.Cleanup(func() { c.Close() })
	if err := c.Set(t.Context(), "k", "before", 0).Err(); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Do(t.Context(), "WAIT", 1, 60000).Int(); err != nil || n != 1 {
		t.Fatalf("%d replicas have it, %v", n, err)
	}
	servers.Kill(0)
	eventually(t, "the other server is the master", time.Minute, func() bool { return c.Set(t.Context(), "l", "meanwhile", 0).Err() == nil })
	if v, err := c.Get(t.Context(), "k").Result(); err != nil || v != "before" {
		t.Errorf("Get() = %q, %v", v, err)
	}
}
