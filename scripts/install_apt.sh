#!/bin/sh
# install_apt.sh PACKAGE... installs packages as root and leaves no server running that did not run before: no cluster is made
# for PostgreSQL, and Redis is neither started nor enabled.
set -eu

undo=
cleanup() { eval "$undo"; }
trap cleanup EXIT
trap 'exit 130' INT TERM

redis_was=yes
if ! command -v redis-server >/dev/null 2>&1; then redis_was=no; fi

# Debian asks this program before it starts a service. 101 means no.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
	undo="$undo rm -f $policy;"
	printf '#!/bin/sh\nexit 101\n' >$policy
	chmod 755 $policy
fi

# Installing PostgreSQL would make a cluster that starts with the machine. The setting is undone after the installation.
conf=/etc/postgresql-common/createcluster.conf
for package in "$@"; do
	if [ "$package" = postgresql ] && [ ! -e $conf ]; then
		undo="$undo if [ -e $conf.ucf-dist ]; then mv -f $conf.ucf-dist $conf; fi;"
		mkdir -p /etc/postgresql-common
		echo "create_main_cluster = false" >$conf
	fi
done

export DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=l
options="-o DPkg::Lock::Timeout=120 -o Acquire::Retries=3 -o Dpkg::Options::=--force-confold -o Dpkg::Use-Pty=0"

# The last lines alone are of interest, and only when something fails.
log=$(mktemp)
undo="$undo rm -f $log;"
# shellcheck disable=SC2086 # The options are meant to be split.
if ! { apt-get -qq $options update && apt-get -qq -y --no-install-recommends $options install "$@"; } >"$log" 2>&1 </dev/null; then
	tail -n 20 "$log" >&2
	exit 1
fi

if [ $redis_was = no ] && command -v redis-server >/dev/null 2>&1; then
	for disable in "systemctl disable redis-server.service" "deb-systemd-helper disable redis-server.service" "update-rc.d redis-server disable"; do
		$disable >/dev/null 2>&1 || true
	done
fi
