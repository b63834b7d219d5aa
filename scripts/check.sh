#!/bin/sh
# check.sh holds the code to gofmt, go vet and staticcheck. It prints only what is wrong.
set -eu
cd "$(dirname "$0")/.."

staticcheck=honnef.co/go/tools/cmd/staticcheck@v0.8.2

unformatted=$(gofmt -l .)
if [ -n "$unformatted" ]; then
	echo "not formatted; run make fmt:" >&2
	echo "$unformatted" >&2
	exit 1
fi
go vet ./...
# Its source is fetched on the first run; the network may fail for a while.
for try in 1 2 3; do
	if go run $staticcheck -version >/dev/null 2>&1; then break; fi
	if [ $try -lt 3 ]; then sleep 3; fi
done
exec go run $staticcheck ./...
