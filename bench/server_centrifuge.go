package main

import (
	"context"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/centrifugal/centrifuge"
)

// peer is centrifuge as its documentation sets it up, with its Redis broker when there is a Redis, and every connection
// subscribed to all channels by the server.
type peer struct{ node *centrifuge.Node }

func newCentrifuge(redis string) (*peer, error) {
	node, err := centrifuge.New(centrifuge.Config{})
	if err != nil {
		return nil, err
	}
	subs := map[string]centrifuge.SubscribeOptions{}
	for i := range channels {
		subs["c"+strconv.Itoa(i)] = centrifuge.SubscribeOptions{}
	}
	node.OnConnecting(func(context.Context, centrifuge.ConnectEvent) (centrifuge.ConnectReply, error) {
		return centrifuge.ConnectReply{
			Subscriptions:  subs,
			PingPongConfig: &centrifuge.PingPongConfig{PingInterval: time.Hour, PongTimeout: time.Minute}, // the readers answer none
		}, nil
	})
	if redis != "" {
		conf := centrifuge.RedisShardConfig{Address: redis}
		if path, ok := strings.CutPrefix(redis, "unix://"); ok {
			conf.Address = "unix://" + path
		}
		shard, err := centrifuge.NewRedisShard(node, conf)
		if err != nil {
			return nil, err
		}
		broker, err := centrifuge.NewRedisBroker(node, centrifuge.RedisBrokerConfig{Shards: []*centrifuge.RedisShard{shard}, Prefix: "bench"})
		if err != nil {
			return nil, err
		}
		node.SetBroker(broker)
	}
	return &peer{node}, node.Run()
}

func (p *peer) serve(_ context.Context, l net.Listener) error {
	ws := centrifuge.NewWebsocketHandler(p.node, centrifuge.WebsocketConfig{CheckOrigin: func(*http.Request) bool { return true }})
	return http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := centrifuge.SetCredentials(r.Context(), &centrifuge.Credentials{UserID: r.URL.Query().Get("user")})
		ws.ServeHTTP(w, r.WithContext(ctx))
	}))
}

func (p *peer) publish(at int64, channel int) error {
	_, err := p.node.Publish("c"+strconv.Itoa(channel), message(at, channel, payload))
	return err
}
