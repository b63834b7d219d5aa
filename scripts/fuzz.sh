#!/bin/sh
# fuzz.sh [TIME] runs each fuzz target for so long, one after another, and stops at the first that finds something.
set -eu
cd "$(dirname "$0")/.."
time=${1:-1m}
for dir in $(grep -rl --include='*_test.go' '^func Fuzz' . | grep -v '^./bench/' | xargs -n1 dirname | sort -u); do
	for target in $(grep -rhoE '^func Fuzz[A-Za-z0-9_]+' "$dir"/*_test.go | sed 's/^func //' | sort -u); do
		echo "== $dir $target for $time"
		go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" -parallel "${FUZZ_PARALLEL:-2}" "$dir"
	done
done
