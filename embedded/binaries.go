package embedded

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// oldestPostgres is the oldest major version whose SQL the schema needs.
const oldestPostgres = 14

// search returns the directories in which programs are looked for: those of PATH, then where systems put Postgres.
func search() []string {
	dirs := filepath.SplitList(os.Getenv("PATH"))
	for _, pattern := range []string{
		"/usr/lib/postgresql/*/bin", // Debian, Ubuntu
		"/usr/pgsql-*/bin",          // PostgreSQL's own RPMs
		"/usr/libexec/postgresql*",  // Alpine
		"/opt/homebrew/opt/postgresql@*/bin",
		"/usr/local/opt/postgresql@*/bin",
		"/home/linuxbrew/.linuxbrew/opt/postgresql@*/bin",
		"/Applications/Postgres.app/Contents/Versions/*/bin",
	} {
		found, _ := filepath.Glob(pattern)
		dirs = append(dirs, found...)
	}
	return append(dirs, "/usr/bin", "/usr/local/bin", "/usr/sbin", "/opt/homebrew/bin")
}

// find returns the first of the programs that is in one of the directories.
func find(dirs []string, names ...string) (path, name string, ok bool) {
	for _, name := range names {
		for _, dir := range dirs {
			if !filepath.IsAbs(dir) {
				continue
			}
			path := filepath.Join(dir, name)
			if st, err := os.Stat(path); err == nil && st.Mode().IsRegular() && st.Mode()&0o111 != 0 {
				return path, name, true
			}
		}
	}
	return "", "", false
}

// installation is a directory that holds postgres and initdb.
type installation struct {
	dir   string
	major int
}

var versionLine = regexp.MustCompile(`PostgreSQL\)? (\d+)`)

// installations lists what is there, newest first.
func installations(ctx context.Context, dirs []string) []installation {
	var all []installation
	seen := map[string]bool{}
	for _, dir := range dirs {
		path, _, ok := find([]string{dir}, "postgres")
		if !ok {
			continue
		}
		// A link on PATH leads to the folder that holds initdb too.
		path, err := filepath.EvalSymlinks(path)
		dir = filepath.Dir(path)
		if err != nil || seen[dir] {
			continue
		}
		seen[dir] = true
		if _, _, ok := find([]string{dir}, "initdb"); !ok {
			continue
		}
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		cmd := exec.CommandContext(ctx, path, "--version")
		cmd.Env = childEnv()
		out, err := cmd.Output()
		cancel()
		m := versionLine.FindSubmatch(out)
		if err != nil || m == nil {
			continue
		}
		major, err := strconv.Atoi(string(m[1]))
		if err == nil {
			all = append(all, installation{dir, major})
		}
	}
	slices.SortStableFunc(all, func(a, b installation) int { return b.major - a.major })
	return all
}

// installCommand is what a person types to get the packages that this system is missing. version is 0 for any Postgres.
func installCommand(dirs []string, version int) string {
	has := func(name string) bool { _, _, ok := find(dirs, name); return ok }
	v := ""
	if version != 0 {
		v = strconv.Itoa(version)
	}
	dash := func(s, d string) string {
		if v == "" {
			return s
		}
		return s + d + v
	}
	var command string
	switch {
	case runtime.GOOS == "darwin":
		if v == "" {
			v = "18"
		}
		return "brew install postgresql@" + v + " redis"
	case has("apt-get"):
		command = "apt-get update && apt-get install -y " + dash("postgresql", "-") + " redis-server"
	case has("dnf"):
		command = "dnf install -y " + dash("postgresql", "") + "-server valkey"
	case has("apk"):
		if v == "" {
			v = "17"
		}
		command = "apk add postgresql" + v + " redis"
	case has("pacman"):
		command = "pacman -S postgresql valkey"
	case has("zypper"):
		command = "zypper install -y " + dash("postgresql", "") + "-server redis"
	default:
		return "install PostgreSQL " + strconv.Itoa(max(version, oldestPostgres)) + " or newer and Redis 7 with this system's package manager"
	}
	if os.Geteuid() != 0 {
		command = "sudo sh -c " + quote(command)
	}
	return command
}

// quote makes s one word of a shell's command line.
func quote(s string) string {
	if s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-+:@%", r))
	}) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// missing says which program is not there and what to do.
func missing(dirs []string, dir string, want int, have []installation) error {
	var there []string
	for _, in := range have {
		there = append(there, fmt.Sprintf("%d in %s", in.major, in.dir))
	}
	found := "none is installed"
	if len(there) > 0 {
		found = "installed: " + strings.Join(there, ", ")
	}
	if want == 0 {
		return fmt.Errorf("PostgreSQL %d or newer is needed to keep data in %s (%s).\nEither run\n    %s\nor name a server: DATABASE_URL=postgres://user:password@host:5432/tidings",
			oldestPostgres, dir, found, installCommand(dirs, 0))
	}
	return fmt.Errorf("the data in %s was made by PostgreSQL %d (%s). Nothing was changed.\nEither install that version again:\n    %s\nor move the data with pg_upgrade, or set DATA_DIR to start with an empty database elsewhere, or DATABASE_URL to use another server",
		dir, want, found, installCommand(dirs, want))
}
