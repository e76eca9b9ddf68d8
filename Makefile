# Two commands matter: `make run` and `make test`. `make help` lists the others.

GO       ?= go
PACKAGES ?= ./...
# Long enough for a machine that is busy otherwise; a test that hangs is reported with its stacks.
TIMEOUT  ?= 10m
# The benchmarks to run, as a regular expression, and how often each: benchstat wants 10.
BENCH    ?= .
COUNT    ?= 1
# What chaos is made of: 0 for a new plan of faults, or the seed that an earlier run has printed. And how long a soak lasts.
SEED     ?= 0
FOR      ?= 1h

TOOL := $(GO) tool -modfile=tools.mod
STEP := @printf '\n== %s\n'

.DEFAULT_GOAL := help

.PHONY: help
help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: ## Api, worker and beat in one process, on a store that needs no installation; http://127.0.0.1:8080
	@$(GO) run ./cmd/seri dev

# The steps are makes of their own, so that they run in this order and the first failure ends it, also under make -j.
.PHONY: test
test: ## All that must be right: installs what is missing, then format, vet, lint, tests with the race detector, builds
	@$(MAKE) --no-print-directory deps
	@$(MAKE) --no-print-directory lint
	@$(MAKE) --no-print-directory race
	@$(MAKE) --no-print-directory chaos-smoke
	@$(MAKE) --no-print-directory build
	$(STEP) 'all is well'

.PHONY: deps
deps: ## Installs redis-server, chromium, PostgreSQL, NATS, RabbitMQ and Django with apt-get or brew, if they are missing
	$(STEP) 'what tests need'
	@scripts/deps.sh

.PHONY: lint
lint: ## Format, vet, modernisers, staticcheck
	$(STEP) 'gofmt'
	@unformatted=$$(gofmt -l .); \
	if [ -n "$$unformatted" ]; then printf 'not formatted; run gofmt -w:\n%s\n' "$$unformatted"; exit 1; fi
	$(STEP) 'go vet'
	@$(GO) vet $(PACKAGES)
	@$(GO) vet -tags portable ./internal/gateway # as it is elsewhere than on Linux of 64 bits
	@GOARCH=arm64 $(GO) vet ./internal/prefetch # has assembly for it
	@$(GO) -C internal/compat/asynqmon vet ./... # modules of their own, which ./... leaves out
	@$(GO) -C bench/river vet ./...
	@$(GO) -C bench/live/peers vet ./...
	$(STEP) 'go fix'
	@outdated=$$($(GO) fix -diff $(PACKAGES)) && [ -z "$$outdated" ] || \
	{ printf 'the language has something better; run go fix:\n%s\n' "$$outdated"; exit 1; }
	$(STEP) 'staticcheck'
	@$(TOOL) staticcheck $(PACKAGES)

.PHONY: race
race: ## Tests with the race detector
	$(STEP) 'go test -race'
	@$(GO) test -race -timeout $(TIMEOUT) $(PACKAGES)
	@$(GO) test -tags portable ./internal/gateway

CHAOS := $(GO) test -count 1 -v -run '^TestChaos$$' ./internal/chaos -seed $(SEED)

.PHONY: chaos-smoke
chaos-smoke: ## 90 s of chaos: processes, the network and Redis fail, and nothing may come of it; part of make test
	$(STEP) 'chaos, 90 s'
	@$(CHAOS) -timeout 10m -suite smoke

.PHONY: chaos
chaos: ## All of the chaos suite, 12 minutes: make chaos SEED=7 repeats the plan of faults of seed 7
	@$(CHAOS) -timeout 30m -suite full -report $(CURDIR)/chaos.json

.PHONY: soak
soak: ## Chaos for as long as one likes: make soak FOR=8h
	@$(CHAOS) -timeout 0 -suite soak -for $(FOR)

.PHONY: mutants
mutants: ## Removes twelve safeguards, one at a time, each of which the chaos suite must notice
	@$(GO) test -count 1 -v -timeout 60m -run '^TestEveryMutantIsFoundOut$$' ./internal/chaos -suite mutants -seed $(SEED)

.PHONY: build
build: ## All commands, into ./bin
	$(STEP) 'go build'
	@$(GO) build $(PACKAGES)
	@mkdir -p bin
	@for cmd in cmd/*/; do \
		[ -d "$$cmd" ] || continue; \
		name=$$(basename "$$cmd"); \
		$(GO) build -trimpath -o "bin/$$name" "./cmd/$$name" || exit 1; \
		echo "bin/$$name"; \
	done

.PHONY: bench
bench: ## Seri beside asynq and beside the physical limit, in 8 minutes; renews bench/results.json and docs/performance.md
	@$(GO) run ./bench -scale 0.1 -rounds 3 -limit 7m

.PHONY: bench-full
bench-full: ## The same with full numbers of tasks, a million queued, and River on PostgreSQL; takes an hour or two
	@$(GO) run ./bench -peers asynq,river -rounds 3 -long

# What of the live benchmark: its scenarios, all but the soak if empty, and by how much to change its numbers.
SCENARIOS ?=
SCALE     ?= 1
.PHONY: bench-live
bench-live: ## 300,000 WebSockets on one machine, in 15 minutes: make bench-live SCENARIOS=kill,peers SCALE=0.1; or soak FOR=30m
	@$(GO) run ./bench/live -scenarios '$(SCENARIOS)' -scale $(SCALE) -for $(FOR)

.PHONY: bench-overhead
bench-overhead: ## What metrics, traces and logs cost in throughput, each beside the same run without, in 5 minutes
	@$(GO) run ./bench/overhead

.PHONY: bench-bus
bench-bus: ## Bytes between the nodes of a Redis Cluster, and its processor time, for a live event by each way; 6 minutes
	@$(GO) run ./bench/bus

.PHONY: microbench
microbench: ## Benchmarks of packages: make microbench PACKAGES=./internal/store BENCH=Enqueue COUNT=10
	@$(GO) test -run '^$$' -bench '$(BENCH)' -benchmem -count $(COUNT) -timeout 60m $(PACKAGES)

.PHONY: oracle
oracle: ## Schedules beside oracles in full: every clock change to 2035, a million ticks beside robfig/cron; takes minutes
	@$(GO) test -timeout 60m -run 'Oracle|Robfig|RRuleGo' -v ./internal/schedule -whole

.PHONY: types
types: ## The types of seri.js, checked by TypeScript's compiler; needs Node.js, and npm's registry the first time
	@scripts/types.sh

.PHONY: image-test
image-test: ## Builds the container images and runs them; needs root on Linux, installs buildah, umoci, runc, busybox on Debian
	@scripts/deps.sh images
	@$(GO) test ./deploy/image -image -v -count 1 -timeout 60m

# Where Terraform's registry cannot be reached: a directory with its provider for AWS, as a filesystem mirror.
PLUGINS ?=
.PHONY: deploy-test
deploy-test: ## The Terraform module: format, validity, its tests, task definitions; says loudly what is missing
	@$(GO) test ./deploy/ecs -terraform -plugins '$(PLUGINS)' -v -count 1 -timeout 60m

.PHONY: vuln
vuln: ## Known vulnerabilities in what is used; asks vuln.go.dev, so it is not part of make test
	@$(TOOL) govulncheck $(PACKAGES)

.PHONY: clean
clean: ## Removes ./bin
	@rm -rf bin
