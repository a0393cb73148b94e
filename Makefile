# Two commands do all the set-up: `make demo` and `make test`.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

ROWS ?= 2000000
SEED ?= 1
RATE ?= 300
ROUTE ?= logical
KILLS ?= 100
ROUNDS ?= 3
BENCH ?= all
WORKLOAD ?= sysbench
FUZZ_SECONDS ?= 600
# `make bench` has a default of its own.
BENCH_ROWS = $(if $(filter file,$(origin ROWS)),1000000,$(ROWS))

.PHONY: help tools servers build demo test test-long soak fuzz bench lint

help: ## Says what there is
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 20

tools:
	@missing=""; \
	for tool in cc cargo rustc apt-get dpkg-deb xz; do command -v $$tool >/dev/null 2>&1 || missing="$$missing $$tool"; done; \
	if [ -n "$$missing" ]; then \
	  echo "missing:$$missing" >&2; \
	  echo "daybreak is built on Debian or Ubuntu with a C compiler and Rust 1.95 or newer:" >&2; \
	  echo "  apt-get install build-essential xz-utils      (as root)" >&2; \
	  echo "  Rust: https://rustup.rs" >&2; \
	  exit 1; \
	fi

servers: tools
	@scripts/get-servers

build: tools ## Builds target/release/daybreak
	cargo build --release --locked -p daybreak-cli

demo: build ## Rehearses a whole migration on real servers: ROWS=2000000 SEED=1 RATE=300 ROUTE=logical|physical
	@scripts/get-servers $(if $(filter physical,$(ROUTE)),mariadb-backup,mysql-9.7)
	target/release/daybreak rehearse --route $(ROUTE) --rows $(ROWS) --seed $(SEED) --rate $(RATE)

test: servers ## Runs every test, on real servers
	cargo test --locked --workspace --no-fail-fast

test-long: servers ## Runs every test, those that take long (marked "slow: make test-long") included
	cargo test --locked --workspace --no-fail-fast -- --include-ignored \
	  --skip killed_at_random_moments --skip fuzz_for_long

soak: servers ## Kills program and servers at random moments of whole runs: KILLS=100 SEED=n
	KILLS=$(KILLS) $(if $(filter command environment,$(firstword $(origin SEED))),SEED=$(SEED)) \
	  cargo test --locked --workspace --test soak -- --ignored --nocapture

fuzz: tools ## Feeds hostile backups to the readers, FUZZ_SECONDS=600 each: SEED=n
	FUZZ_SECONDS=$(FUZZ_SECONDS) cargo test --locked --workspace --test inspect fuzz_for_long -- --ignored --nocapture

bench: build ## Measures against mysqldump, mydumper, tar|gzip, rclone: BENCH=all|copy|verify|link|physical|forms|tables WORKLOAD=sysbench|all|... ROWS=1000000 ROUNDS=3
	@scripts/get-servers $(if $(filter-out physical,$(BENCH)),mysql-9.7 mydumper) $(if $(filter all physical,$(BENCH)),mariadb-backup rclone)
	cargo build --release --locked -p rehearsal -p daybreak --example bench --example pack
	target/release/examples/bench --only $(BENCH) --workload $(WORKLOAD) --rows $(BENCH_ROWS) --rounds $(ROUNDS)

lint: tools ## Formatting, and clippy with warnings denied
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
