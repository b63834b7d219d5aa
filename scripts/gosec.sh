#!/bin/sh
# gosec.sh runs gosec over what is shipped. Rules that find nothing here but what is meant are left out, each for the reason beside it; a single place that is meant has
# a "#nosec" with its reason.
set -eu
cd "$(dirname "$0")/.."

rules=G101          # SQL that names tokens, and no credential
rules=$rules,G104   # errors that are let go on purpose: of closing, of answers to who has hung up
rules=$rules,G115   # ids are unsigned to Discord and signed to Postgres; both have 63 bits, which parsing holds them to
rules=$rules,G117   # Discord's token is marshalled to be encrypted
rules=$rules,G203   # what render has made safe is not made safe again
rules=$rules,G204   # the servers that this process runs are found on the machine
rules=$rules,G301,G302,G304,G306 # files and folders that the operator names; secrets among them have 0600
rules=$rules,G404   # jitter needs no secrecy
exec go run github.com/securego/gosec/v2/cmd/gosec@v2.30.0 -quiet -exclude="$rules" \
	-exclude-dir=bench -exclude-dir=sim -exclude-dir=deploy -exclude-dir=web/browsertest -exclude-dir=embedded/testdb ./...
