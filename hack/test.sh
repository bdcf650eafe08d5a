#!/usr/bin/env bash
# What `make test` runs: checks, then all tests with the race detector, against
# a real kube-apiserver and real S3 servers. As root on Debian it installs what
# is missing; elsewhere it says what it goes without. With CI=true going without
# is a failure.
set -euo pipefail
cd "$(dirname "$0")/.."

ci=${CI:-false}
current=
trap 'status=$?; [ $status -eq 0 ] || echo "== FAILED: $current" >&2; exit $status' EXIT

# step TITLE COMMAND... runs the command and prints how long it took.
step() {
	current=$1
	local start=$SECONDS
	shift
	echo "== $current"
	"$@"
	echo "== $current: $((SECONDS - start)) s"
}

# install PACKAGE... installs Debian packages, where that is possible.
install() {
	[ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null || return 1
	echo "installing $*"
	export DEBIAN_FRONTEND=noninteractive
	apt-get update -qq </dev/null &&
		apt-get install -y -qq --no-install-recommends "$@" </dev/null >/dev/null
}

# without WHAT WHY tells what the run goes without, which CI does not accept.
without() {
	echo "$1: $2"
	[ "$ci" != true ]
}

compiles_c() {
	# CC may carry arguments, so it is split into words.
	printf '#include <stdlib.h>\nint main(void) { return 0; }\n' | $(go env CC) -x c -o /dev/null - 2>/dev/null
}

race=-race
c_compiler() {
	export CGO_ENABLED=1
	if ! compiles_c && { ! install gcc libc6-dev || ! compiles_c; }; then
		race='' CGO_ENABLED=0
		without "the race detector is off" "it needs a C compiler (Debian: gcc and libc6-dev)"
	fi
}

# aws_cli brings Debian's program, the version that the contract test was
# written against; the test runs every version on the PATH.
aws_cli() {
	if [ ! -x /usr/bin/aws ] && ! install awscli && ! aws --version >/dev/null 2>&1; then
		without "the contract test with the AWS CLI will be skipped" "there is no aws on the PATH (Debian: awscli)"
		return
	fi
	if [ -x /usr/bin/aws ]; then /usr/bin/aws --version; else aws --version; fi
}

servers() {
	local paths
	paths=$(go run ./hack/assets/cmd/assets kube-apiserver etcd kubectl versitygw minio helm)
	TRAIL_TEST_VERSITYGW=$(sed -n 's/^versitygw=//p' <<<"$paths")
	TRAIL_TEST_MINIO=$(sed -n 's/^minio=//p' <<<"$paths")
	TRAIL_TEST_KUBE_ASSETS=$(go run ./hack/assets/cmd/assets --dir)
	export TRAIL_TEST_VERSITYGW TRAIL_TEST_MINIO TRAIL_TEST_KUBE_ASSETS
}

tests() {
	local fresh=()
	# A result from the cache tells nothing about the machine that CI runs on.
	[ "$ci" != true ] || fresh=(-count=1)
	go test $race ${fresh[@]+"${fresh[@]}"} -timeout 45m ./...
}

step "C compiler for the race detector" c_compiler
step "AWS CLI" aws_cli
step "servers to test against" servers
step "go vet" go vet ./...
step "golangci-lint" make --no-print-directory lint
step "tests${race:+ with the race detector}" tests
echo "== all passed in $SECONDS s"
