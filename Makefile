# Two commands matter: `make run` and `make test`. `make help` lists the others.

GO       ?= go
PACKAGES ?= ./...
# Long enough for a machine that is busy otherwise; a test that hangs is reported with its stacks.
TIMEOUT  ?= 10m
# The benchmarks to run, as a regular expression, and how often each: benchstat wants 10.
BENCH    ?= .
COUNT    ?= 1

TOOL := $(GO) tool -modfile=tools.mod
STEP := @printf '\n== %s\n'

.DEFAULT_GOAL := help

.PHONY: help
help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: ## Api, worker and beat in one process, on a store that needs no installation; http://127.0.0.1:8080
	@$(GO) run ./cmd/seri dev

# The steps are makes of their own, so that they run in this order and the first failure ends it, also under make -j.
.PHONY: test
test: ## All that must be right: installs what is missing, then format, vet, lint, tests with the race detector, builds
	@$(MAKE) --no-print-directory deps
	@$(MAKE) --no-print-directory lint
	@$(MAKE) --no-print-directory race
	@$(MAKE) --no-print-directory build
	$(STEP) 'all is well'

.PHONY: deps
deps: ## Installs redis-server, chromium and PostgreSQL with apt-get or brew, if they are missing
	$(STEP) 'what tests need'
	@scripts/deps.sh

.PHONY: lint
lint: ## Format, vet, modernisers, staticcheck
	$(STEP) 'gofmt'
	@unformatted=$$(gofmt -l .); \
	if [ -n "$$unformatted" ]; then printf 'not formatted; run gofmt -w:\n%s\n' "$$unformatted"; exit 1; fi
	$(STEP) 'go vet'
	@$(GO) vet $(PACKAGES)
	@$(GO) -C internal/compat/asynqmon vet ./... # a module of its own, which ./... leaves out; the tests of internal/compat run it
	$(STEP) 'go fix'
	@outdated=$$($(GO) fix -diff $(PACKAGES)) && [ -z "$$outdated" ] || \
	{ printf 'the language has something better; run go fix:\n%s\n' "$$outdated"; exit 1; }
	$(STEP) 'staticcheck'
	@$(TOOL) staticcheck $(PACKAGES)

.PHONY: race
race: ## Tests with the race detector
	$(STEP) 'go test -race'
	@$(GO) test -race -timeout $(TIMEOUT) $(PACKAGES)

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

.PHONY: microbench
microbench: ## Benchmarks of packages: make microbench PACKAGES=./internal/store BENCH=Enqueue COUNT=10
	@$(GO) test -run '^$$' -bench '$(BENCH)' -benchmem -count $(COUNT) -timeout 60m $(PACKAGES)

.PHONY: vuln
vuln: ## Known vulnerabilities in what is used; asks vuln.go.dev, so it is not part of make test
	@$(TOOL) govulncheck $(PACKAGES)

.PHONY: clean
clean: ## Removes ./bin
	@rm -rf bin
