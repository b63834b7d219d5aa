package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// redisOptions reads REDIS_URL. One address is a server. Several, separated by commas, are where to ask for a cluster's nodes; the
// first names what holds for all, the others may be HOST:PORT alone. With ?cluster=true one address is a cluster's too, and with
// ?master_name=NAME the addresses are Sentinels that know where the master of this name is.
func redisOptions(s string) (*redis.UniversalOptions, error) {
	var all *redis.UniversalOptions
	scheme := ""
	for part := range strings.SplitSeq(s, ",") {
		part = strings.TrimSpace(part)
		if scheme != "" && !strings.Contains(part, "://") {
			part = scheme + "://" + part
		}
		u, err := url.Parse(part)
		if err != nil {
			return nil, errors.New("one of its addresses is not a URL") // the error of Parse would say the password
		}
		cluster, sentinel, err := ownOptions(u)
		if err != nil {
			return nil, err
		}
		o, err := redis.ParseURL(u.String())
		if err != nil {
			return nil, err
		}
		if all == nil {
			scheme = u.Scheme
			all = &redis.UniversalOptions{
				Username: o.Username, Password: o.Password, DB: o.DB, TLSConfig: o.TLSConfig, Dialer: o.Dialer, Protocol: o.Protocol,
				ClientName: o.ClientName, DialTimeout: o.DialTimeout, ReadTimeout: o.ReadTimeout, WriteTimeout: o.WriteTimeout,
				PoolSize: o.PoolSize, MinIdleConns: o.MinIdleConns,
				MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
			}
			if o.Network == "unix" { // the universal client's options have no network of their own
				all.Dialer = func(ctx context.Context, _, addr string) (net.Conn, error) {
					var d net.Dialer
					return d.DialContext(ctx, "unix", addr)
				}
			}
		} else if u.Scheme != scheme {
			return nil, fmt.Errorf("%s:// and %s:// are mixed", scheme, u.Scheme)
		}
		all.IsClusterMode = all.IsClusterMode || cluster
		if sentinel.name != "" {
			all.MasterName, all.SentinelUsername, all.SentinelPassword = sentinel.name, sentinel.username, sentinel.password
		}
		all.Addrs = append(all.Addrs, o.Addr)
	}
	if all.MasterName != "" && all.IsClusterMode {
		return nil, errors.New("it names a cluster and a Sentinel's master at once")
	}
	if many := len(all.Addrs) > 1 || all.IsClusterMode; many || all.MasterName != "" {
		if many && all.MasterName == "" && all.DB != 0 {
			return nil, fmt.Errorf("a cluster has no database %d, only 0", all.DB)
		}
		if all.TLSConfig != nil {
			all.TLSConfig.ServerName = "" // each node's certificate is held against the node's own name
		}
	}
	return all, nil
}

// clusterReload is how old what is known of a cluster's nodes may be. A master that died says nothing of who has taken its place, and
// the client library itself would ask after a minute only.
const clusterReload = time.Second

// newRedis makes the client for options that redisOptions has read.
func newRedis(o *redis.UniversalOptions) redis.UniversalClient {
	if o.MasterName == "" && (len(o.Addrs) > 1 || o.IsClusterMode) {
		c := o.Cluster()
		c.ClusterStateReloadInterval = clusterReload
		return redis.NewClusterClient(c)
	}
	return redis.NewUniversalClient(o)
}

// sentinel is a master and who may ask Sentinels about it.
type sentinel struct{ name, username, password string }

// ownOptions takes the parameters out of an address that go-redis does not read there.
func ownOptions(u *url.URL) (cluster bool, s sentinel, err error) {
	q := u.Query()
	take := func(name string) string {
		v := q.Get(name)
		q.Del(name)
		return v
	}
	switch v := take("cluster"); v {
	case "", "false":
	case "true":
		cluster = true
	default:
		return false, s, fmt.Errorf("cluster=%s is neither true nor false", v)
	}
	s = sentinel{take("master_name"), take("sentinel_username"), take("sentinel_password")}
	if s.name == "" && s.username+s.password != "" {
		return false, s, errors.New("sentinel_username and sentinel_password need master_name")
	}
	u.RawQuery = q.Encode()
	return cluster, s, nil
}
