#!/usr/bin/env bash
# Runs every native fuzz target for the given time: hack/fuzz.sh 10s
set -euo pipefail
cd "$(dirname "$0")/.."
fuzztime=${1:-10s}

# go test -list names the targets of a package before it names the package.
targets=$(go test -list '^Fuzz' ./... | awk '/^Fuzz/ { names[++n] = $1 } /^ok/ { for (i = 1; i <= n; i++) print $2, names[i]; n = 0 }')
if [ -z "$targets" ]; then
	echo "there is no fuzz target"
	exit 0
fi
while read -r package target; do
	echo "== $target in $package, $fuzztime"
	go test -run '^$' -fuzz "^$target\$" -fuzztime "$fuzztime" "$package" </dev/null
done <<<"$targets"
