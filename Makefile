# Headwater. `make help` lists the targets; the work is done by scripts/, which can be called directly.

SHELL := /usr/bin/env bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := build
.PHONY: bench build clean conformance demo fuzz help lint soak test

build: ## Build the binary in release mode
	source scripts/env.sh; cargo build --release

demo: ## Show it: a shop on a private server, one minute (DEMO_SECONDS)
	scripts/demo

test: ## Run all tests, real servers included, and say what was skipped
	scripts/test

soak: ## Run the long tests in full: scripts/soak names their parts
	scripts/soak

fuzz: ## Feed random bytes to every parser, FUZZ_SECONDS (1200) each
	scripts/fuzz

lint: ## Check format, lints, docs and dependencies; warnings are errors
	scripts/lint

bench: ## Run the benchmarks
	scripts/bench

conformance: ## Run the collected Flink scripts and say which agree
	scripts/conformance

clean: ## Remove what cargo built
	cargo clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
