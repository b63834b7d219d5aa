#!/bin/sh
# reproduce.sh builds the release's binary twice, in two folders and without a cache, and fails when a byte differs.
set -eu
cd "$(dirname "$0")/.."
dir=$(mktemp -d)
trap 'chmod -R u+w "$dir"; rm -rf "$dir"' EXIT
# Both from one copy, so that nobody's edits come between.
mkdir "$dir/copy"
tar -c --exclude=.git --exclude=node_modules --exclude=./data . | tar -x -C "$dir/copy"
for n in one two/deeper; do
	mkdir -p "$dir/$n"
	cp -r "$dir/copy" "$dir/$n/src"
	(cd "$dir/$n/src" && GOCACHE="$dir/$n/cache" CGO_ENABLED=0 go build -trimpath -buildvcs=false \
		-ldflags '-s -w -buildid= -X main.version=reproduce' -o "$dir/$n/tidings" ./cmd/tidings)
done
cmp "$dir/one/tidings" "$dir/two/deeper/tidings"
sha256sum "$dir/one/tidings" | sed 's/ .*/  both/'
