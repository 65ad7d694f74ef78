# `make up` starts a cloud and shows it at work; `make test` proves everything; `make help` lists the rest.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help deps build images up down test lint unit scenarios bench fuzz clean

# Tests run what is shipped: the release profile.
PROFILE := release
export CARGO_TARGET_DIR ?= $(CURDIR)/target
BIN := $(CARGO_TARGET_DIR)/$(PROFILE)
IMAGES := .hive/cache/images
# What install-deps fetched.
export HIVE_NATS_SERVER := $(CURDIR)/.hive/cache/nats-server
export PATH := $(CURDIR)/.hive/cache/aws/bin:$(PATH)

help: ## this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 20

deps: ## install what is missing on Debian 12 (apt packages, Rust targets, cargo-deny, nats-server, aws)
	@packaging/install-deps

build: deps ## release binaries and the firmware
	cargo build --$(PROFILE) --workspace --exclude hive-firmware --bins
	cargo xtask firmware

images: build ## guest image hive-minimal, from Debian packages
	@packaging/guest-image $(BIN) hive-minimal $(IMAGES)

up: images ## start the cloud (on this machine with hardware KVM, else in a simulated node) and show its main job
	@packaging/up $(BIN) $(IMAGES)

down: ## stop the cloud; nothing is left running
	@packaging/down $(BIN)

test: lint unit scenarios ## everything: lint, unit and component tests, scenarios with the real aws-cli

lint: deps ## rustfmt, clippy with warnings denied, licences and sources of dependencies
	cargo fmt --all --check
	cargo clippy --$(PROFILE) --workspace --all-targets -- -D warnings
	cargo deny --log-level error check licenses bans sources

unit: build ## unit and component tests of all crates
	cargo test --$(PROFILE) --workspace
	# What was built for all crates: for one alone its dependencies would be built once more, with fewer features.
	it=$$(cargo test --$(PROFILE) --workspace --no-run --message-format=json 2>/dev/null | \
		jq -r 'select(.target.name? == "it" and (.manifest_path | endswith("control/vpc/Cargo.toml"))).executable'); \
	cd control/vpc && HIVE_VPC_SWITCH=$(abspath $(BIN))/netd "$$it"

scenarios: images ## end to end: real aws-cli, simulated node, real guest kernel
	$(BIN)/hive-scenarios --binaries $(BIN) --images $(IMAGES)

bench: images ## side-by-sides: boot, block, net, api
	@packaging/bench $(BIN) $(IMAGES)

FUZZ_SECONDS ?= 60
fuzz: deps ## every parser of hostile input under libFuzzer, FUZZ_SECONDS (60) each; needs a nightly toolchain
	@packaging/fuzz $(FUZZ_SECONDS)

clean: down ## remove what was built and cached
	rm -rf .hive $(CARGO_TARGET_DIR)
