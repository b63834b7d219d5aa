package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/sync/errgroup"

	"tidings"
	"tidings/access"
	"tidings/bot"
	"tidings/hub"
	"tidings/ingest"
	"tidings/jobs"
	"tidings/render"
	"tidings/store"
	"tidings/web"
)

// serveCmd is "tidings serve".
type serveCmd struct{}

func (serveCmd) Run(ctx context.Context, c *Config, log *slog.Logger) error {
	if faults := c.faults(); len(faults) > 0 {
		return usageError{faults}
	}
	return serve(ctx, c, log, func(url string) { log.Info("ready", "url", url) })
}

// shutdownTime is how long requests that are under way may take once the service is asked to stop.
const shutdownTime = 5 * time.Second

// serve runs the service until ctx ends. It is long and straight on purpose: the rooms in the order in which they are
// needed, then all of their Runs side by side. ready is called with the public address once requests are answered.
func serve(ctx context.Context, c *Config, log *slog.Logger, ready func(url string)) error {
	part := func(name string) *slog.Logger { return log.With("part", name) }

	// The address comes first: a port in use should not cost a start of the database.
	listener, err := hub.Listen(ctx, c.listen())
	if err != nil {
		return fmt.Errorf("%w; choose another address with LISTEN=…", err)
	}
	defer listener.Close()
	address := c.publicURL(listener.Addr())
	var plainListener net.Listener
	if c.TLS.HTTPListen != "" && c.does("web") {
		if plainListener, err = net.Listen("tcp", c.TLS.HTTPListen); err != nil {
			return fmt.Errorf("%w; choose another address with HTTP_LISTEN=…", err)
		}
		defer plainListener.Close()
	}
	key, err := c.encryptionKey()
	if err != nil {
		return err
	}

	me, err := takeInstance(c.DataDir)
	if err != nil {
		return err
	}
	defer me.release()

	backends, err := openBackends(ctx, c, part("embedded"))
	if err != nil {
		return err
	}
	defer backends.stop()
	st, err := backends.openStore(ctx, c, part("store"))
	if err != nil {
		return err
	}
	defer st.Close()

	metrics := prometheus.NewRegistry()
	metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))

	exposed := promhttp.HandlerFor(metrics, promhttp.HandlerOpts{})
	adminListener, adminSite, err := listenAdmin(c, exposed)
	if err != nil {
		return err
	}
	if adminListener != nil {
		defer adminListener.Close()
		exposed = nil // operators have an address of their own
	}

	// A message goes from discord through door into the store, and from there to live, which asks who may read it. who asks
	// Discord for memberships, so the circle is closed late, by functions.
	var (
		door *ingest.Ingest
		live *hub.Hub
		site *web.Server
		// second learns of changes of access, after which what Discord refused is asked again.
		second *secondLook
		alerts *jobs.Alerts // has webhooks and browsers told of new messages
	)
	limiter, err := newLimiter(c, backends, log, metrics)
	if err != nil {
		return err
	}
	disk := watchDisk(c, part("disk"), metrics)
	gate := roomyDoor{disk, &door}
	discord, err := bot.New(bot.Options{
		Token: c.DiscordToken, URL: c.DiscordURL, Sessions: st, Log: part("bot"), Metrics: metrics, Limiter: limiter, Owner: me.owner(),
		Sink: gate,
	})
	if err != nil {
		return err
	}
	st.TellTime(discord.REST().Now)
	who := access.New(st, discord.REST(), access.Options{
		Log:     part("access"),
		Recheck: c.Recheck,
		Here:    connectedTo(&live),
		Tell:    func(ctx context.Context, r tidings.Result) { second.Tell(ctx, r); live.Tell(ctx, r) },
	})
	if err := who.Load(ctx); err != nil {
		return err
	}
	var passed func(ingest.Passage)
	var delivered func(hub.Delivery)
	traces := newTracer(c.Traces, me.name, part("traces"), metrics)
	if traces != nil {
		passed, delivered = traces.passage, traces.delivery
	}
	renderer := render.New(render.Options{DiscordCDN: c.AllowCDN})
	live = hub.New(hub.Options{
		Access: who, Store: st, Redis: backends.redis, Prefix: c.RedisPrefix, Encode: renderer.Encode,
		Origins: []string{host(address)}, Window: c.LiveWindow, MaxConnsPerAddress: c.AddressSockets,
		Alive: func(ctx context.Context, session string) (bool, error) { return site.Alive(ctx, session) },
		Log:   part("hub"), Metrics: metrics, Trace: delivered,
	})
	poll := newPoll(c, discord.REST(), st, part("poll"))
	second = newSecondLook(discord.REST(), who, poll, st, part("poll"))
	alerts = jobs.NewAlerts(st, who.Visible, part("jobs"))
	door = ingest.New(st, tellers{second, live, alerts}, ingest.Options{Log: part("ingest"), Metrics: metrics, Trace: passed})

	oauth, err := bot.NewOAuth(bot.OAuthOptions{
		ClientID: c.DiscordClientID, ClientSecret: c.DiscordClientSecret, URL: c.DiscordURL, Log: part("bot"),
	})
	if err != nil {
		return err
	}
	proxies, err := web.ParseProxies(c.Proxies)
	if err != nil {
		return err
	}
	timetable := map[string]string{
		jobs.HealKind: "@every 1m", jobs.AuditKind: "@every 30s", jobs.CleanupKind: "17 * * * *", jobs.PollKind: c.pollSchedule(),
		jobs.ForgetKind: "29 * * * *", jobs.RetentionKind: "41 * * * *", jobs.RetryKind: "@every 2m", jobs.WarmKind: "@every 30s",
		jobs.WatchKind: "@every 1m", jobs.AlertsKind: "@every 1m", jobs.PushesKind: "@every 5m", jobs.VerifyKind: "@every 3m",
		jobs.RecheckThreadsKind: c.recheckThreads(),
	}
	past6h := newSamples(metrics, newPeers(c, me.name, backends, part("status")))
	site, err = web.New(web.Options{
		Limits: st, TrustedProxies: proxies, BotReads: (&sight{rest: discord.REST(), who: who}).reads,
		Store: st, Access: who, Live: live, OAuth: oauth, PublicURL: address, EncryptionKey: key, OldKeys: c.oldKeys(), DiscordCDN: c.AllowCDN,
		Version: version, Log: part("web"), Metrics: exposed, Admins: c.admins(),
		NoPages: !c.does("web"),
		Ready: func(ctx context.Context) error {
			if err := st.Ping(ctx); err != nil || live.Ready() {
				return err
			}
			return errors.New("what was said before this process could hear is still being read")
		},
		Healing: st,
		Status: func(ctx context.Context) (web.Status, error) {
			return status(ctx, c, me.owner(), discord, limiter, st), nil
		},
		Channels: discord.REST(),
		Fresh:    fresh{discord.REST()},
		Webhooks: webhookOptions(c, st, discord.REST()),
		Guilds:   st.GuildIDs,
		Invite:   bot.InviteURL(c.DiscordURL, c.DiscordClientID),
		Admin: &web.AdminOptions{
			Store: st, Guilds: who, Kinds: slices.Sorted(maps.Keys(timetable)), RetentionDays: c.RetentionDays,
			Overview: (&overview{c, me.name, discord, st, backends, past6h, disk}).read,
		},
	})
	if err != nil {
		return err
	}

	work := jobs.New(st, jobs.Options{Log: part("jobs"), Metrics: metrics, Name: me.name})
	past := history{discord.REST()}
	fetch := &jobs.Fetch{History: past, Door: gate, Gaps: st, Log: part("jobs"), Healed: func(ctx context.Context, g store.Gap) {
		live.Tell(ctx, healed(g, who.Version(g.Guild)))
		if _, err := st.Enqueue(ctx, store.NewJob{Kind: jobs.RefreshKind, Key: g.Channel.String(), Guild: g.Guild}); err != nil {
			part("jobs").Warn("a channel's cache is filled when somebody looks", "channel", g.Channel, "err", err)
		}
	}}
	reread := &jobs.Reread{History: past, Door: gate, Ledger: st}
	work.Handle(store.PriorityFetch, fetch.Priority, 2)
	work.Handle(store.FetchMessages, politely(fetch.Handle), 4)
	work.Handle(store.Backfill, politely(fetch.Backfill), 2)
	work.Handle(store.Reconcile, politely(reread.Reconcile), 2)
	work.Handle(store.Audit, politely(reread.Audit), 2)
	work.Handle(store.ListThreads, politely(jobs.ListThreads(past, st, gate)), 1)
	look := threadLook{discord.REST()}
	work.Handle(store.ReadThreadMembers, politely(jobs.ReadThreadMembers(look, st, gate, part("jobs"))), 2)
	work.Handle(store.FindThreads, politely(jobs.FindThreads(look, st, gate, part("jobs"))), 1)
	work.Handle(jobs.RecheckThreadsKind, jobs.RecheckThreads(st, part("jobs")), 1)
	work.Handle(jobs.RefreshKind, jobs.Refresh(st), 2)
	work.Handle(jobs.WarmKind, jobs.Warm(st, part("jobs")), 1)
	work.Handle(jobs.RetentionKind, jobs.Retention(st, live.Tell, part("jobs")), 1)
	work.Handle(store.FindWords, jobs.FindWords(st, part("jobs")), 1)
	work.Handle(store.PurgeMessages, jobs.Purge(st, live.Tell, part("jobs")), 1)
	work.Handle(jobs.ForgetKind, jobs.Forget(st, days(c.RemovedDays), live.Tell, part("jobs")), 1)
	work.Handle(jobs.RetryKind, politely(jobs.Retry(st, hydrator{discord.REST()}, live.Tell, part("jobs"))), 1)
	work.Handle(jobs.HealKind, jobs.Heal(st, part("jobs")), 1)
	work.Handle(jobs.AuditKind, jobs.AuditMoved(st, part("jobs")), 1)
	work.Handle(jobs.CleanupKind, jobs.Cleanup(st, part("jobs")), 1)
	work.Handle(jobs.WatchKind, jobs.Watch(st, c.AlertWebhookURL != "", part("jobs")), 1)
	if c.AlertWebhookURL != "" {
		work.Handle(store.SendAlert, jobs.NewAlerter(c.AlertWebhookURL, address).Handle, 1)
	}
	metrics.MustRegister(jobs.NewAlertMetrics(st))
	poll.Door = gate
	work.Handle(jobs.PollKind, poll.Tick, 1)
	work.Handle(store.PollGuild, poll.Guild, 4)
	work.Handle(store.Forgive, second.Handle, 1)
	work.Handle(store.ReadGuild, jobs.ReadGuild(&scout{rest: discord.REST()}, st, gate, who, part("jobs")), 2)
	work.Handle(store.ProcessWebhook, newWebhooks(c, discord.REST(), st, gate, who, site, part("webhooks")).Handle, 2)
	outgoing := &jobs.Outgoing{
		Store: st, Visible: who.Visible, Confirm: who.Confirm, Open: site.OpenSecret, HTTP: cmp.Or(c.OutgoingHTTP, jobs.OutgoingClient()), Log: part("jobs"),
		Encode: func(set *tidings.VisibleSet, m tidings.Message) ([]byte, error) {
			return renderer.EncodeFor(m, render.NewNames(set, who.Guild))
		},
	}
	work.Handle(store.SendWebhook, outgoing.Handle, 4)
	work.Handle(jobs.AlertsKind, alerts.Look, 1)
	work.Handle(store.SendPush, newPush(c, st, who, live, site, address, part("jobs")).Handle, 4)
	work.Handle(jobs.PushesKind, alerts.LookPush, 1)
	work.Handle(jobs.VerifyKind, jobs.Verify(st, who.Visible, metrics, part("jobs")), 1)
	for kind, spec := range timetable {
		if err := work.Schedule(spec, store.NewJob{Kind: kind}); err != nil {
			return err
		}
	}

	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return backends.watch(ctx) })
	g.Go(func() error { return disk.Run(ctx) })
	g.Go(func() error { return past6h.Run(ctx) })
	g.Go(func() error { return newStoreWatch(st, backends, part("watch"), metrics).Run(ctx) })
	g.Go(func() error { return who.Run(ctx) })
	if traces != nil {
		g.Go(func() error { return traces.Run(ctx) })
	}
	g.Go(func() error { return live.Run(ctx) })
	g.Go(func() error { return door.Run(ctx) })
	g.Go(func() error { return second.Run(ctx) })
	g.Go(func() error { return alerts.Run(ctx) })
	if c.does("gateway") && c.Gateway == "on" {
		g.Go(func() error { return discord.Run(ctx) })
		g.Go(func() error { return newShardWatch(c, discord, st, part("poll")).Run(ctx) })
	}
	if c.does("jobs") {
		g.Go(func() error { return work.Run(ctx) })
	}
	few := newIdle(metrics)
	server := newServer(site, few, part("web"))
	if c.servesTLS() {
		secure, plain := newTLS(c, address, part("tls"))
		server.TLSConfig = secure
		if plainListener != nil && plain != nil {
			g.Go(func() error { return serveHTTP(ctx, newServer(plain, few, part("tls")), plainListener) })
		}
	}
	g.Go(func() error { return serveHTTP(ctx, server, listener) })
	if adminListener != nil {
		server := &http.Server{Handler: adminSite, ReadHeaderTimeout: 10 * time.Second}
		g.Go(func() error { return serveHTTP(ctx, server, adminListener) })
	}
	ready(address)

	err = g.Wait()
	log.Info("stopped")
	switch {
	case errors.Is(err, context.Canceled):
		return nil
	case errors.Is(err, tidings.ErrUnauthorized):
		return refusedError{fmt.Errorf("DISCORD_TOKEN is not accepted: %w", err)}
	case errors.Is(err, tidings.ErrForbidden):
		return refusedError{err}
	}
	return err
}

// newServer bounds what a client may send and how long it may take for it.
func newServer(h http.Handler, few *idle, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler: h, ConnState: few.state, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 32 << 10,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

// serveHTTP answers requests until ctx ends, then lets those under way finish. Live sockets are hub's to end.
func serveHTTP(ctx context.Context, server *http.Server, l net.Listener) error {
	ended := make(chan error, 1)
	go func() {
		if server.TLSConfig != nil {
			ended <- server.ServeTLS(l, "", "")
			return
		}
		ended <- server.Serve(l)
	}()
	select {
	case err := <-ended:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTime)
	defer cancel()
	err := server.Shutdown(grace)
	if err != nil {
		server.Close()
	}
	<-ended
	return nil
}

// status sums up for GET /api/status how the shards are, and how much of what Discord allows is used.
func status(ctx context.Context, c *Config, me string, b *bot.Bot, l *bot.SharedLimiter, st *store.Store) web.Status {
	s := gatewayStatus(ctx, c, me, b, st)
	// Without Redis the budget says so itself.
	budget, _ := l.Budget(ctx)
	s.Requests = &web.RequestStatus{
		Shared: budget.Shared, Processes: budget.Processes, Used: budget.Used, Allowed: budget.Places, Refused: budget.Refused, Brake: budget.Brake,
	}
	// Without the database there is nothing to say about it.
	s.Healing, _ = healingStatus(ctx, st)
	alerts, _ := st.Alerts(ctx)
	for _, a := range alerts {
		s.Alerts = append(s.Alerts, web.AlertStatus{Kind: a.Kind, Since: a.Since.UTC(), Failures: a.Failures})
	}
	return s
}

// gatewayStatus says how the shards are, whichever process runs them. Without the database it knows those of this one alone.
func gatewayStatus(ctx context.Context, c *Config, me string, b *bot.Bot, st *store.Store) web.Status {
	leases, err := st.ShardLeases(ctx)
	shards := withOthers(ownShards(c, b), me, leases)
	var s web.Status
	ready, running := 0, c.Gateway == "on"
	for _, shard := range shards {
		if shard.State == "ready" {
			ready++
		}
		running = running || shard.State != "away"
		if at := shard.LastEvent; at != nil && (s.LastEvent == nil || at.After(*s.LastEvent)) {
			s.LastEvent = at
		}
	}
	switch {
	case ready > 0 && ready == len(shards):
		s.Gateway = "on"
	case err != nil && !c.does("gateway"):
		// It is not known.
	case running:
		s.Gateway = "away"
	default:
		s.Gateway, s.LastEvent = "off", nil
	}
	return s
}

// host is the host of an address that was checked before.
func host(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return u.Host
}
