# Everything a developer does, by name. `make` alone lists it.

SHELL := /usr/bin/env bash -euo pipefail -c
.DEFAULT_GOAL := help

BIN      := bin
PROGRAMS := $(patsubst cmd/%/main.go,$(BIN)/%,$(wildcard cmd/*/main.go))

# Tools are built from the versions that hack/tools pins and kept in the user's
# cache folder. They are looked up only when a recipe needs them.
ASSETS         := go run ./hack/assets/cmd/assets
CONTROLLER_GEN  = "$$($(ASSETS) --path controller-gen)"
GOLANGCI_LINT   = "$$($(ASSETS) --path golangci-lint)"

##@ General

.PHONY: help
help: ## List the targets.
	@awk 'BEGIN { FS = ":.*##"; print "usage: make TARGET [NAME=VALUE]" } \
		/^##@/ { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z0-9-]+:.*##/ { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

##@ Build

.PHONY: build
build: $(PROGRAMS) ## Build every program of cmd/ into bin/, linked statically.

# Always run: go build knows what has changed, and make does not.
.PHONY: $(PROGRAMS)
$(PROGRAMS): $(BIN)/%:
	CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o $@ ./cmd/$*

.PHONY: assets
assets: ## Build the programs that tests and the demo run, unless they are cached.
	$(ASSETS) kube-apiserver etcd kubectl versitygw minio helm

.PHONY: clean
clean: ## Remove what was built here; the cache of tools stays.
	rm -rf $(BIN) dist

##@ Develop

.PHONY: generate
generate: ## Generate deep copies, config/crd, config/rbac and what the chart takes of them.
	gen=$(CONTROLLER_GEN); \
	"$$gen" object crd paths=./api/... output:crd:artifacts:config=config/crd; \
	if grep -rqs '+kubebuilder:rbac' controllers; then \
		"$$gen" rbac:roleName=trail-operator-manager paths=./controllers/... output:rbac:artifacts:config=config/rbac; \
	fi
	go run ./hack/chart

.PHONY: fmt
fmt: ## Format the Go sources.
	$(GOLANGCI_LINT) fmt

.PHONY: vet
vet: ## Run go vet.
	go vet ./...

.PHONY: lint
lint: ## Run golangci-lint, with the project's import rules.
	$(GOLANGCI_LINT) run

.PHONY: verify
verify: generate ## Fail if what is generated differs from what is committed.
	@stale=$$(git status --porcelain -- api config charts); \
	if [ -n "$$stale" ]; then \
		echo "these files differ from what is committed; commit what make generate writes:" >&2; \
		echo "$$stale" >&2; \
		exit 1; \
	fi

##@ Try and test

.PHONY: demo
demo: ## Run the whole story on this machine; KEEP=1 leaves it running.
	go run ./hack/demo $(if $(KEEP),--keep)

.PHONY: test
test: ## Run all tests, with the race detector, against real servers.
	bash hack/test.sh

.PHONY: e2e
e2e: ## Install the operator on a real cluster of one node and use it (root, Debian); KEEP=1 keeps the logs.
	go run ./hack/cluster/cmd/cluster prepare
	$(ASSETS) versitygw minio helm
	TRAIL_E2E=1 TRAIL_E2E_KEEP=$(KEEP) go test -count=1 -timeout 30m -v ./test/e2e

BENCH     ?= .
SOAK      ?= 1h
BENCHTIME ?= 1s

.PHONY: soak
soak: ## Do everything that can go wrong to a receiver under load, for SOAK=1h, and write the report to bin/soak.md.
	@mkdir -p bin
	TRAIL_SOAK=$(SOAK) TRAIL_SOAK_REPORT=$(CURDIR)/bin/soak.md TRAIL_SOAK_COMMIT=$$(git describe --always --dirty --exclude '*') \
		go test -count=1 -timeout 0 -v -run '^TestSoak$$' ./test/durability

.PHONY: bench
bench: ## Measure the receiver and its steps against the baseline, and the manager with 1000 trails; BENCHFLAGS="-only events -runs 5" chooses.
	go run ./test/perf $(BENCHFLAGS)

.PHONY: bench-validate
bench-validate: ## Compare validate-logs with the AWS CLI: the same 5000 files on a real S3 server.
	TRAIL_BENCH_VALIDATE=1 go test -count=1 -timeout 60m -run '^TestBenchValidate$$' -v ./test/contract/awscli

.PHONY: microbench
microbench: ## Run the benchmarks of the packages; BENCH=regexp chooses, BENCHTIME=1s each.
	go test -run '^$$' -bench '$(BENCH)' -benchtime $(BENCHTIME) -benchmem ./...

FUZZTIME ?= 10s

.PHONY: fuzz
fuzz: ## Run every fuzz target, FUZZTIME=10s each.
	bash hack/fuzz.sh $(FUZZTIME)
