# fetchsvc: `make` alone lists the targets. Needs Go, a C compiler (for the race
# detector) and git; everything else is built from pinned modules into .build.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
export PATH := $(CURDIR)/.build/bin:$(PATH)

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
FUZZTIME ?= 2m
TESTFLAGS ?=
BENCHFLAGS ?=
CONTAINER ?= $(shell command -v docker || echo buildah)

.PHONY: help tools gen format lint test soak bench fuzz build image clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "%-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# One module of tools for each set that would otherwise change another's
# versions; a set is built anew when its pins change.
tools: $(patsubst tools/%/go.mod,.build/tools/%,$(wildcard tools/*/go.mod)) ## Build the pinned tools into .build/bin

.build/tools/%: tools/%/go.mod tools/%/go.sum
	@mkdir -p .build/bin .build/tools
	go build -C tools/$* -o $(CURDIR)/.build/bin/ tool
	@touch $@

.build/tools/fosite: tools/fosite/fosite/main.go

gen: .build/tools/buf .build/tools/proto ## Generate gen/ and api/ from proto/
	rm -rf .build/protodeps
	go run ./internal/protodeps .build/protodeps
	buf generate
	buf build proto -o .build/image.binpb
	go run ./internal/openapigen .build/image.binpb api/openapi.json api/policy.schema.json

.build/protodeps: go.mod internal/protodeps/main.go
	rm -rf $@
	go run ./internal/protodeps $@

# What the tests run and compare with: Debian's Python clients, proxies and Prometheus.
# Where they are missing and cannot be installed, those tests say so and are skipped.
PEERS := python3-grpcio python3-protobuf python3-requests \
	protobuf-compiler protobuf-compiler-grpc squid microsocks dante-server prometheus

.build/peers: Makefile
	@mkdir -p .build
	@if dpkg -s $(PEERS) >/dev/null 2>&1; then touch $@; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		{ apt-get update -q && DEBIAN_FRONTEND=noninteractive \
			apt-get install -yq --no-install-recommends $(PEERS); } >.build/peers.log 2>&1 && touch $@ \
		|| { echo "Debian's clients and proxies cannot be installed; tests that need them are skipped:"; tail -n 3 .build/peers.log; }; \
	else echo "not root on Debian: tests that need its Python clients and proxies are skipped"; fi

# The authorization server that tests of OAuth 2.0 run against, from npm; node and
# npm are Debian's where there are none.
.build/oidc/installed: $(addprefix tools/oidc/,package.json package-lock.json provider.mjs)
	@mkdir -p .build/oidc
	@cp $^ .build/oidc/
	@if ! command -v npm >/dev/null && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		{ apt-get update -q && DEBIAN_FRONTEND=noninteractive \
			apt-get install -yq --no-install-recommends nodejs npm; } >.build/oidc.log 2>&1 || true; fi
	@if ! command -v npm >/dev/null; then echo "no npm: tests that need oidc-provider are skipped"; \
	elif (cd .build/oidc && for again in 1 2 3; do npm ci --ignore-scripts --no-audit --no-fund && exit; done; exit 1) >.build/oidc.log 2>&1; then touch $@; \
	else echo "oidc-provider cannot be installed; tests that need it are skipped:"; tail -n 3 .build/oidc.log; fi

format: .build/tools/buf ## Format Go and proto files
	gofmt -w .
	buf format -w proto

lint: .build/tools/buf .build/tools/lint .build/protodeps ## Check style and likely mistakes
	buf lint
	buf format -d --exit-code proto
	@unformatted=$$(gofmt -l .); [ -z "$$unformatted" ] || { echo "run make format for:" $$unformatted; exit 1; }
	go vet ./...
	staticcheck $$(go list ./... | grep -v '/gen/')

test: .build/tools/peer .build/tools/fosite .build/peers .build/oidc/installed ## Run all tests under the race detector (TESTFLAGS=…)
	CGO_ENABLED=1 go test -race $(TESTFLAGS) ./...

soak: ## Move 4 GiB each way and 200 full streams, and hold the memory bounds
	FETCHSVC_SOAK=1 go test -count=1 -timeout 60m -v ./internal/memtest

bench: ## Compare with a bare gRPC server and the like (BENCHFLAGS=…)
	go run ./internal/bench $(BENCHFLAGS)

fuzz: ## Run every fuzz target for FUZZTIME each (2m)
	@go test -list '^Fuzz' ./... \
	| awk '/^Fuzz/ {names[++n] = $$1} /^ok/ {while (n) print $$2, names[n--]}' \
	| { failed=; while read -r pkg name; do \
		echo "== $$pkg $$name"; \
		go test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x "$$pkg" </dev/null || failed="$$failed $$name"; \
	done; [ -z "$$failed" ] || { echo "these failed:$$failed"; exit 1; }; }

build: ## Build the static binary .build/bin/fetchsvc
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o .build/bin/fetchsvc ./cmd/fetchsvc

image: ## Build the container image fetchsvc:VERSION (docker or buildah)
	BUILDAH_FORMAT=docker $(CONTAINER) build --build-arg VERSION=$(VERSION) -t fetchsvc:$(VERSION) .

clean: ## Remove everything that was built
	rm -rf .build
