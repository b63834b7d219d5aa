#!/bin/sh
# check.sh [--offline-ok] holds the code to gofmt, go vet and staticcheck. It prints only what is wrong.
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

# Its source is fetched on the first run, and the network may be away for a while. With --offline-ok, as before the tests,
# that is no fault of the code's.
for pause in 2 5 0; do
	if why=$(go run $staticcheck -version 2>&1); then
		exec go run $staticcheck ./...
	fi
	sleep $pause
done
echo "staticcheck is not to be had: $why" >&2
[ "${1-}" = --offline-ok ]
