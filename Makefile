# Overhear. `make help` lists what there is.
SHELL := /bin/bash
CARGO ?= cargo
LOCKED := --locked
CAPTURES ?= ../shared/captures
SECONDS_EACH ?= 60
# Where Debian keeps nft; the path of an ordinary user does not lead there, and tests call it.
export PATH := $(PATH):/usr/sbin:/sbin

.PHONY: help run test check audit bench fuzz docs corpus setup setup-test

help: ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup:
	@tools/setup.sh build

setup-test:
	@tools/setup.sh test

run: ## install what is missing, build, run the lab with the careless toy phone, say where the report is
	@tools/setup.sh run
	$(CARGO) build --release $(LOCKED)
	@target/release/overhear lab; code=$$?; \
	if [ $$code -eq 3 ]; then exit 3; fi; \
	echo "(exit code $$code: 0 nothing failed, 1 something failed, 2 something is undecided; the careless phone is meant to fail)"

test: setup-test ## all tests that need no captures of others
	$(CARGO) test --workspace $(LOCKED)

check: setup ## format, clippy, house rules, docs, licences and duplicate crates
	$(CARGO) fmt --all -- --check
	$(CARGO) clippy --workspace --all-targets $(LOCKED) -- -D warnings
	$(CARGO) test --workspace $(LOCKED) --test house
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps $(LOCKED)

audit: ## known advisories, with cargo-deny (installed when missing; needs the network)
	@command -v cargo-deny >/dev/null || $(CARGO) install --locked cargo-deny
	$(CARGO) deny check advisories licenses bans sources

fuzz: ## every fuzz target for SECONDS_EACH=60 seconds, with cargo-fuzz on nightly (make test replays the corpora)
	@command -v cargo-fuzz >/dev/null && $(CARGO) +nightly --version >/dev/null 2>&1 || \
	{ echo "make fuzz needs cargo-fuzz and a nightly toolchain: cargo install --locked cargo-fuzz; rustup toolchain install nightly" >&2; exit 1; }
	@for target in $$(ls fuzz/corpus); do \
	$(CARGO) +nightly fuzz run $$target -- -max_total_time=$(SECONDS_EACH) || exit 1; done

corpus: setup ## compare with the truth of real captures in $(CAPTURES)
	OVERHEAR_CORPUS=all OVERHEAR_CAPTURES=$(CAPTURES) $(CARGO) test --workspace $(LOCKED) --test corpus -- --nocapture

bench: ## throughput beside peers (tshark, ndpiReader, tcpflow, sslsplit, mitmproxy where installed)
	@benches/run.sh
	@benches/proxy.sh

docs: setup ## rewrite generated docs, schemas and listings
	UPDATE=1 $(CARGO) test --workspace $(LOCKED) generated
