#!/bin/sh
# install.sh demo|test installs what the demo or the tests need and this machine lacks. It prints nothing when all is there.
#
# Packages come through apt (with sudo when this is not root) or Homebrew. Elsewhere, and where sudo is not to be had, it
# prints the command to type and fails. The servers that it installs are not started and not enabled: Tidings starts its own.
set -eu

what=${1-}
case $what in
demo | test) ;;
*)
	echo "usage: $0 demo|test" >&2
	exit 2
	;;
esac
cd "$(dirname "$0")/.."

say() { printf '%s\n' "install: $*" >&2; }

# have NAME... says whether one of the programs is there.
have() {
	for name in "$@"; do
		if command -v "$name" >/dev/null 2>&1; then return 0; fi
	done
	return 1
}

# have_postgres looks where package embedded looks (embedded/binaries.go), for its oldest version or a newer one.
have_postgres() {
	for postgres in "$(command -v postgres || true)" /usr/lib/postgresql/*/bin/postgres /usr/pgsql-*/bin/postgres \
		/usr/libexec/postgresql*/postgres /opt/homebrew/opt/postgresql@*/bin/postgres /usr/local/opt/postgresql@*/bin/postgres \
		/home/linuxbrew/.linuxbrew/opt/postgresql@*/bin/postgres /Applications/Postgres.app/Contents/Versions/*/bin/postgres; do
		if [ -x "$postgres" ]; then
			major=$("$postgres" --version 2>/dev/null | sed -n 's/.*PostgreSQL) \([0-9][0-9]*\).*/\1/p')
			if [ "${major:-0}" -ge 14 ]; then return 0; fi
		fi
	done
	return 1
}

have_redis() { have redis-server valkey-server; }
have_chromium() {
	have chromium chromium-browser google-chrome google-chrome-stable chrome headless-shell ||
		[ -x "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome" ] || [ -x /Applications/Chromium.app/Contents/MacOS/Chromium ]
}
# The race detector needs a C compiler.
have_cc() { have cc gcc clang; }

# Go itself is not installed from here: the packages of most systems are too old to fetch the right one.
if ! have go; then
	say "Go is missing: install it from https://go.dev/dl/ and put its bin folder on PATH"
	exit 1
fi

# uses PATTERN says whether a test of this repository has the text in it.
uses() { grep -rqs --include='*_test.go' "$1" .; }

# needs lists what is missing, in the words below.
needs() {
	if [ "$what" = test ] || [ -z "${DATABASE_URL-}" ]; then have_postgres || echo postgres; fi
	if [ "$what" = test ] || [ -z "${REDIS_URL-}" ]; then have_redis || echo redis; fi
	if [ "$what" = test ]; then
		have_cc || echo cc
		if uses chromedp; then have_chromium || echo chromium; fi
		if uses '"node"'; then have node || echo node; fi
		if uses '"npm"' || uses 'browsertest.Modules'; then have npm || echo npm; fi
	fi
}

# modules installs what checks the page, as its lockfile says. Without a network the tests try again, and say what is wrong.
modules() {
	if [ "$what" != test ] || cmp -s web/jstest/package-lock.json web/jstest/node_modules/.installed; then return 0; fi
	say "installing what checks the page"
	if (cd web/jstest && npm ci --silent --no-audit --no-fund) >/dev/null 2>&1; then
		cp web/jstest/package-lock.json web/jstest/node_modules/.installed
	fi
}

missing=$(needs | tr '\n' ' ')
if [ -z "$missing" ]; then
	modules
	exit 0
fi

# packages translates the words: packages POSTGRES REDIS CC CHROMIUM NODE NPM
packages() {
	list=
	for need in $missing; do
		case $need in
		postgres) list="$list $1" ;;
		redis) list="$list $2" ;;
		cc) list="$list $3" ;;
		chromium) list="$list $4" ;;
		node) list="$list $5" ;;
		npm) list="$list $6" ;;
		esac
	done
	echo "${list# }"
}

# by_hand COMMAND prints the command to type, as root unless this is.
by_hand() {
	say "missing: $missing"
	say "run this, then try again:"
	if [ "$(id -u)" = 0 ]; then
		printf '\n    %s\n\n' "$1" >&2
	else
		printf "\n    sudo sh -c '%s'\n\n" "$1" >&2
	fi
	exit 1
}

# again COMMAND... tries five times: package servers and locks fail for a while.
again() {
	pause=2
	for try in 1 2 3 4 5; do
		if "$@"; then return 0; fi
		if [ $try -lt 5 ]; then
			say "that failed; again in $pause s"
			sleep $pause
			pause=$((pause * 2))
		fi
	done
	return 1
}

apt() {
	wanted=$(packages postgresql redis-server "gcc libc6-dev" chromium nodejs npm)
	if [ "$(id -u)" = 0 ]; then
		root=
	elif have sudo && { sudo -n true 2>/dev/null || { [ -t 0 ] && sudo true; }; }; then
		root="sudo"
	else
		by_hand "apt-get update && apt-get install -y $wanted"
	fi
	say "installing $wanted"
	# shellcheck disable=SC2086 # The words are meant to be split.
	if ! again $root sh scripts/install_apt.sh $wanted; then
		by_hand "apt-get update && apt-get install -y $wanted"
	fi
}

homebrew() {
	formulas=$(packages postgresql@17 redis "" "" node node)
	if [ "$(uname -s)" != Darwin ]; then formulas=$(packages postgresql@17 redis gcc "" node node); fi
	case " $missing" in *" cc "*) if [ "$(uname -s)" = Darwin ]; then by_hand "xcode-select --install"; fi ;; esac
	if [ -n "$formulas" ]; then
		say "installing $formulas"
		# shellcheck disable=SC2086
		HOMEBREW_NO_AUTO_UPDATE=1 again brew install -q $formulas </dev/null
	fi
	case " $missing" in *" chromium "*) again brew install -q --cask chromium </dev/null ;; esac
}

if [ "$(uname -s)" = Darwin ]; then
	if ! have brew; then
		say "missing: $missing"
		say "install Homebrew from https://brew.sh, then try again"
		exit 1
	fi
	homebrew
elif have apt-get; then
	apt
elif have dnf; then
	by_hand "dnf install -y $(packages postgresql-server valkey gcc chromium nodejs npm)"
elif have apk; then
	by_hand "apk add $(packages postgresql17 redis "gcc musl-dev" chromium nodejs npm)"
elif have pacman; then
	by_hand "pacman -S --needed $(packages postgresql valkey gcc chromium nodejs npm)"
elif have zypper; then
	by_hand "zypper install -y $(packages postgresql-server redis gcc chromium nodejs npm)"
elif have brew; then
	homebrew
else
	say "missing: $missing"
	say "install PostgreSQL 14 or newer, Redis 7 or newer (and for the tests gcc and Chromium) with this system's package manager"
	exit 1
fi

missing=$(needs | tr '\n' ' ')
if [ -n "$missing" ]; then
	say "still missing after the installation: $missing"
	case $missing in
	*postgres*) say "this system's PostgreSQL is older than 14; newer ones: https://www.postgresql.org/download/" ;;
	esac
	exit 1
fi
modules
