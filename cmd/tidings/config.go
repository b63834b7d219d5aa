package main

import (
	"cmp"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings/hub"
	"tidings/jobs"
	"tidings/store"
	"tidings/web"
)

// Config is all there is to set, by flag or environment. Constants that nobody needs to set stay beside their code.
type Config struct {
	DiscordToken        string `env:"DISCORD_TOKEN" placeholder:"TOKEN" help:"The bot's token, from the Bot page of discord.com/developers."`
	DiscordClientID     string `env:"DISCORD_CLIENT_ID" placeholder:"ID" help:"The application's id, for signing in."`
	DiscordClientSecret string `env:"DISCORD_CLIENT_SECRET" placeholder:"SECRET" help:"The application's OAuth2 secret, for signing in."`
	DiscordPublicKey    string `env:"DISCORD_PUBLIC_KEY" placeholder:"HEX" help:"The application's public key, for Discord's webhook events. Empty: Discord is asked for it."`
	DiscordURL          string `env:"DISCORD_URL" default:"https://discord.com" help:"Where Discord is. REST is below it at /api/v10."`

	DatabaseURL       string `env:"DATABASE_URL" placeholder:"URL" help:"A PostgreSQL 14 or newer. Empty: one of our own in DATA_DIR."`
	DatabaseDirectURL string `env:"DATABASE_DIRECT_URL" placeholder:"URL" help:"The same database past a pooler in transaction mode, for LISTEN. Empty: DATABASE_URL."`
	RedisURL          string `env:"REDIS_URL" placeholder:"URL" help:"A Redis 6 or newer. Several addresses separated by commas, or ?cluster=true, are a cluster; ?master_name=NAME says that they are Sentinels. Empty: one of our own."`
	RedisPrefix       string `env:"REDIS_PREFIX" default:"tidings:" help:"What every key and channel in Redis begins with."`
	DataDir           string `env:"DATA_DIR" default:"./data" type:"path" help:"Where the own PostgreSQL and Redis live, and the key that encrypts tokens."`

	Listen          string        `env:"LISTEN" placeholder:"127.0.0.1:8080" help:"The address to serve on; for sim 127.0.0.1:8090 when empty."`
	PublicURL       string        `env:"PUBLIC_URL" placeholder:"URL" help:"The address by which browsers reach the service. Empty: http:// and LISTEN."`
	AdminListen     string        `env:"ADMIN_LISTEN" placeholder:"ADDRESS" help:"A second address, for /metrics and pprof alone. Empty: /metrics is at LISTEN, for this machine and operators alone, and pprof nowhere."`
	LiveWindow      time.Duration `env:"LIVE_WINDOW" default:"5ms" help:"How long a live change may wait, when many come, to leave with the next ones in one write: up to 10ms. 0: never."`
	AddressSockets  int           `env:"MAX_SOCKETS_PER_ADDRESS" name:"max-sockets-per-address" default:"500" help:"Live sockets from one address at a time. Those of this machine and of private networks, which are proxies', are not counted."`
	Admins          []string      `env:"ADMINS" placeholder:"ID" help:"Discord ids of those who may do everything here."`
	Proxies         []string      `env:"TRUSTED_PROXIES" name:"trusted-proxies" placeholder:"NETWORK" help:"Addresses and networks of proxies in front, such as 10.0.0.0/8, whose X-Forwarded-For says where a request comes from. Empty: nobody's."`
	Roles           []string      `env:"ROLES" default:"gateway,jobs,web" help:"What this process does: gateway, jobs, web."`
	Gateway         string        `env:"GATEWAY" default:"on" enum:"on,off" help:"off: do not connect to Discord's gateway; messages are found by polling."`
	PollSchedule    string        `env:"POLL_SCHEDULE" default:"@every 30s" placeholder:"CRON" help:"When polling looks for news, as a cron expression or @every 30s. With the gateway on it only looks at servers whose connection is down, and rarely at the others."`
	RelayKeys       []string      `env:"RELAY_KEYS" sep:" " placeholder:"NAME:KEY[:GUILD,…]" help:"Relays that may send events to /webhooks/discord/NAME, separated by spaces: a name, its Ed25519 public key in hex, and the servers that it may tell of (all when none is named)."`
	RetentionDays   int           `env:"RETENTION_DAYS" default:"30" help:"How many days messages are kept."`
	RemovedDays     int           `env:"REMOVED_DAYS" default:"7" help:"How many days after a server has removed the bot all that is kept of it is deleted."`
	HistoryDays     int           `env:"HISTORY_DAYS" default:"7" help:"How far back messages are fetched when a channel is first seen."`
	MinFreeDisk     int           `env:"MIN_FREE_DISK" default:"256" help:"With the own PostgreSQL: when fewer megabytes are free in DATA_DIR, nothing is taken in until there is room; 0 for never. At four times as many there is a warning."`
	EncryptionKey   string        `env:"ENCRYPTION_KEY" placeholder:"KEY" help:"32 bytes in base64 that encrypt Discord's tokens. Empty: a file in DATA_DIR, made at first start."`
	OldKeys         []string      `env:"OLD_ENCRYPTION_KEYS" name:"old-encryption-keys" placeholder:"KEY" help:"Earlier values of ENCRYPTION_KEY, separated by commas, until \"tidings reseal\" has been run."`
	AlertWebhookURL string        `env:"ALERT_WEBHOOK_URL" name:"alert-webhook-url" placeholder:"URL" help:"Where operators are told, with a POST, when a kind of job fails persistently. An incoming webhook of Discord's or Slack's will do."`
	AllowCDN        bool          `env:"ALLOW_DISCORD_CDN" name:"allow-discord-cdn" help:"Let browsers load pictures from Discord's servers."`
	LogFormat       string        `env:"LOG_FORMAT" default:"text" enum:"text,json" help:"text or json."`
	TLS             TLSConfig     `embed:""`
	Traces          TraceConfig   `embed:""`
	// TLSClient asks the certificate authority; nil for the usual client.
	TLSClient *http.Client `kong:"-"`
	// Recheck is how often Discord is asked again about every known member; 0 for every 15 minutes.
	Recheck time.Duration `kong:"-"`
	// Statfs says how much room is left; nil for asking the system.
	Statfs func(path string) (free, all uint64, err error) `kong:"-"`
	// OutgoingHTTP reaches the addresses that people name, of push services and webhooks; nil for those on the public internet alone.
	OutgoingHTTP *http.Client `kong:"-"`
	LogLevel     slog.Level   `env:"LOG_LEVEL" default:"INFO" help:"DEBUG, INFO, WARN or ERROR."`
}

// listen is the address to serve on.
func (c *Config) listen() string { return cmp.Or(c.Listen, "127.0.0.1:8080") }

func (c *Config) does(role string) bool { return slices.Contains(c.Roles, role) }

// faults checks what can be checked without asking anybody, and names everything that is wrong at once.
func (c *Config) faults() []string {
	var f []string
	bad := func(format string, a ...any) { f = append(f, fmt.Sprintf(format, a...)) }
	if c.DiscordToken == "" {
		bad("DISCORD_TOKEN is not set: make an application at https://discord.com/developers/applications, open its Bot page, and copy the token. To look around without an account, run \"tidings demo\".")
	} else if strings.HasPrefix(c.DiscordToken, "Bot ") || strings.ContainsAny(c.DiscordToken, " \t\n") {
		bad("DISCORD_TOKEN holds a space: give the token alone, without \"Bot \" before it.")
	}
	if c.does("web") {
		if c.DiscordClientID == "" {
			bad("DISCORD_CLIENT_ID is not set: it is the application id on the General Information page of your application.")
		}
		if c.DiscordClientSecret == "" {
			bad("DISCORD_CLIENT_SECRET is not set: make one on the OAuth2 page of your application.")
		}
	}
	if u, err := url.Parse(c.DiscordURL); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		bad("DISCORD_URL %q is not an http or https address.", c.DiscordURL)
	}
	for _, r := range c.Roles {
		if r != "gateway" && r != "jobs" && r != "web" {
			bad("ROLES names %q: there are gateway, jobs and web.", r)
		}
	}
	if c.DiscordPublicKey != "" {
		if _, err := publicKey(c.DiscordPublicKey); err != nil {
			bad("DISCORD_PUBLIC_KEY %v: copy it from the General Information page of your application.", err)
		}
	}
	return append(f, c.serverFaults()...)
}

// serverFaults checks what concerns this machine, not Discord.
func (c *Config) serverFaults() []string {
	var f []string
	bad := func(format string, a ...any) { f = append(f, fmt.Sprintf(format, a...)) }
	if _, _, err := net.SplitHostPort(c.listen()); err != nil {
		bad("LISTEN %q is not host:port.", c.Listen)
	}
	for _, id := range c.Admins {
		if n, err := strconv.ParseUint(id, 10, 64); err != nil || n == 0 {
			bad("ADMINS names %q, which is not a Discord id.", id)
		}
	}
	if _, err := web.ParseProxies(c.Proxies); err != nil {
		bad("TRUSTED_PROXIES: %v.", err)
	}
	if c.LiveWindow < 0 || c.LiveWindow > hub.MaxWindow {
		bad("LIVE_WINDOW is %v: it must be between 0 and %v.", c.LiveWindow, hub.MaxWindow)
	}
	if c.AddressSockets < 0 {
		bad("MAX_SOCKETS_PER_ADDRESS is %d: it must not be negative.", c.AddressSockets)
	}
	if c.AdminListen != "" {
		if _, _, err := net.SplitHostPort(c.AdminListen); err != nil {
			bad("ADMIN_LISTEN %q is not host:port.", c.AdminListen)
		}
	}
	if c.PublicURL != "" {
		if u, err := url.Parse(c.PublicURL); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || strings.Trim(u.Path, "/") != "" {
			bad("PUBLIC_URL %q must be like https://tidings.example.org, without a path.", c.PublicURL)
		}
	}
	if c.AlertWebhookURL != "" {
		// Its text is not said: whoever has it can write there.
		if u, err := url.Parse(c.AlertWebhookURL); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
			bad("ALERT_WEBHOOK_URL is not an http or https address.")
		}
	}
	for _, s := range [][2]string{{"DATABASE_URL", c.DatabaseURL}, {"DATABASE_DIRECT_URL", c.DatabaseDirectURL}} {
		if err := store.CheckURL(s[1]); err != nil && s[1] != "" {
			bad("%s cannot be read: %v.", s[0], err)
		}
	}
	if c.RedisURL != "" {
		if _, err := redisOptions(c.RedisURL); err != nil {
			bad("REDIS_URL cannot be read: %v.", err)
		}
	}
	if c.EncryptionKey != "" {
		if _, err := parseKey(c.EncryptionKey); err != nil {
			bad("ENCRYPTION_KEY %v.", err)
		}
	}
	if c.RetentionDays < 1 {
		bad("RETENTION_DAYS is %d: it must be at least 1.", c.RetentionDays)
	}
	for _, k := range c.OldKeys {
		if _, err := parseKey(k); err != nil {
			bad("OLD_ENCRYPTION_KEYS: each %v.", err)
		}
	}
	if c.RemovedDays < 0 {
		bad("REMOVED_DAYS is %d: it cannot be negative.", c.RemovedDays)
	}
	if c.MinFreeDisk < 0 {
		bad("MIN_FREE_DISK is %d: it cannot be negative.", c.MinFreeDisk)
	}
	if c.HistoryDays < 0 {
		bad("HISTORY_DAYS is %d: it cannot be negative.", c.HistoryDays)
	}
	if next, err := jobs.ParseSchedule(c.pollSchedule()); err != nil {
		bad("POLL_SCHEDULE: %v. It is like \"@every 30s\" or \"*/2 * * * *\".", err)
	} else if next(time.Now()).IsZero() {
		bad("POLL_SCHEDULE %q never comes.", c.PollSchedule)
	}
	_, faults := parseRelays(c.RelayKeys)
	return append(append(f, faults...), append(c.tlsFaults(), c.Traces.faults()...)...)
}

// pollSchedule is when polling looks for news.
func (c *Config) pollSchedule() string { return cmp.Or(c.PollSchedule, "@every 30s") }

// pollEvery is the time between the next two ticks of polling.
func (c *Config) pollEvery() time.Duration {
	next, err := jobs.ParseSchedule(c.pollSchedule())
	if err != nil {
		return 30 * time.Second
	}
	first := next(time.Now())
	return max(next(first).Sub(first), time.Second)
}

// publicKey reads an Ed25519 public key in hex.
func publicKey(s string) (ed25519.PublicKey, error) {
	b, err := hex.DecodeString(strings.TrimSpace(s))
	if err != nil || len(b) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("must be an Ed25519 public key: 64 hex digits")
	}
	return b, nil
}

// parseRelays reads RELAY_KEYS and names everything that is wrong with it.
func parseRelays(list []string) (relays []web.Relay, faults []string) {
	names := map[string]bool{}
	for _, item := range list {
		if item = strings.TrimSpace(item); item == "" {
			continue
		}
		name, rest, _ := strings.Cut(item, ":")
		key, guilds, limited := strings.Cut(rest, ":")
		bad := func(format string, a ...any) {
			faults = append(faults, fmt.Sprintf("RELAY_KEYS, relay %q: ", name)+fmt.Sprintf(format, a...))
		}
		r := web.Relay{Name: name}
		switch {
		case !web.RelayName(name):
			bad("a name has 1 to 32 lower-case letters, digits, - and _.")
		case name == web.DiscordSource:
			bad("this name is Discord's own.")
		case names[name]:
			bad("the name is given twice.")
		}
		names[name] = true
		var err error
		if r.Key, err = publicKey(key); err != nil {
			bad("its key %v.", err)
		}
		if limited {
			for g := range strings.SplitSeq(guilds, ",") {
				id, err := discord.ParseSnowflake(strings.TrimSpace(g))
				if err != nil || !id.IsValid() {
					bad("%q is not a server's id.", g)
					continue
				}
				r.Guilds = append(r.Guilds, discord.GuildID(id))
			}
		}
		relays = append(relays, r)
	}
	return relays, faults
}

// publicURL is where browsers reach the service.
func (c *Config) publicURL(listening net.Addr) string {
	if c.PublicURL != "" {
		return strings.TrimSuffix(c.PublicURL, "/")
	}
	host, _, _ := net.SplitHostPort(c.listen())
	_, port, _ := net.SplitHostPort(listening.String()) // LISTEN may have asked for any port
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	if !c.tlsOn() {
		return "http://" + net.JoinHostPort(host, port)
	}
	if len(c.TLS.Domains) > 0 {
		host = c.TLS.Domains[0]
	}
	if port == "443" {
		return "https://" + host
	}
	return "https://" + net.JoinHostPort(host, port)
}

func parseKey(s string) ([]byte, error) {
	key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(s))
	if err != nil || len(key) != 32 {
		return nil, fmt.Errorf("must be 32 bytes in base64; make one with \"openssl rand -base64 32\"")
	}
	return key, nil
}

// encryptionKey returns the key that seals Discord's tokens: the one that is set, or the file's, which is made once.
func (c *Config) encryptionKey() ([]byte, error) {
	if c.EncryptionKey != "" {
		return parseKey(c.EncryptionKey)
	}
	path := filepath.Join(c.DataDir, "encryption.key")
	text, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		if err := makeKey(path); err != nil {
			return nil, fmt.Errorf("keep the encryption key in DATA_DIR: %w; choose another folder with DATA_DIR=…", err)
		}
		text, err = os.ReadFile(path)
	}
	if err != nil {
		return nil, fmt.Errorf("read the encryption key in DATA_DIR: %w; choose another folder with DATA_DIR=…", err)
	}
	key, err := parseKey(string(text))
	if err != nil {
		return nil, fmt.Errorf("%s %w", path, err)
	}
	return key, nil
}

// oldKeys are the keys in OLD_ENCRYPTION_KEYS, which serverFaults has checked.
func (c *Config) oldKeys() [][]byte {
	var keys [][]byte
	for _, k := range c.OldKeys {
		if key, err := parseKey(k); err == nil {
			keys = append(keys, key)
		}
	}
	return keys
}

// makeKey writes a new key. A link is made whole or not at all: of two processes that start at once, both read the same key.
func makeKey(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".key-*") // with mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	key := make([]byte, 32)
	rand.Read(key)
	_, err = fmt.Fprintln(tmp, base64.StdEncoding.EncodeToString(key))
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	if err := os.Link(tmp.Name(), path); err != nil && !os.IsExist(err) {
		return err
	}
	return nil
}

// admins are the ids in ADMINS, which faults has checked.
func (c *Config) admins() []discord.UserID {
	var ids []discord.UserID
	for _, s := range c.Admins {
		if n, err := strconv.ParseUint(s, 10, 64); err == nil {
			ids = append(ids, discord.UserID(n))
		}
	}
	return ids
}
