# Each target sets up what it needs: as root, or as a user who may use sudo.

CARGO ?= cargo
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)
# One folder for what only lint and bench need, so that nothing of the user's own is touched.
TOOLS := target/tools
CARGO_DENY_VERSION := 0.20.2
OHA_VERSION := 1.16.0

.PHONY: demo test bench bench-quick lint memcheck servers peers

# The whole of it: a private stack, its layers compared for 30 s, the table. ARGS="--rate 1000" …
demo: servers
	$(CARGO) build --release --locked --quiet
	$(CARGO) run --release --locked --quiet -p poolbench -- demo $(ARGS)

test: servers
	$(CARGO) build --workspace --locked
	$(CARGO) test --workspace --locked

# Beside the generators that people know; three quarters of an hour, on an otherwise idle machine. The
# results stay in tests/peers/results. ARGS="--only http" …
bench: servers peers
	$(PEERS) --keep tests/peers/results $(ARGS)

# The same goals from short rounds, in under five minutes.
bench-quick: servers peers
	$(PEERS) --quick $(ARGS)

# The drivers under valgrind: all of memcheck over epoll, but for TLS, whose assembly in ring it does not
# follow. What the kernel writes through a ring counts as never written, so that the others are looked at
# for memory that is freed or not ours; and a thread that waits in a ring holds up all threads, so that
# those that do have their server in another process.
memcheck:
	@command -v valgrind >/dev/null || $(SUDO) apt-get install -y --no-install-recommends valgrind
	$(MEMCHECK)" $(CONFORMANCE) monoio_over_epoll:: --skip records --skip of_each_kind
	$(MEMCHECK) --undef-value-errors=no" $(CONFORMANCE) tokio_uring:: \
		monoio_over_epoll::records monoio_over_epoll::replies_of monoio_over_epoll::hundreds
	$(MEMCHECK) --undef-value-errors=no" $(CARGO) run --locked -p poolbench-engine --example cost -- memory 200

MEMCHECK = CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER="valgrind --quiet --error-exitcode=99 --fair-sched=yes
CONFORMANCE = $(CARGO) test --locked -p poolbench-engine --test conformance -- --test-threads=2

lint: $(TOOLS)/bin/cargo-deny
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --document-private-items --locked
	$(TOOLS)/bin/cargo-deny --locked check bans licenses sources

# It runs for a second: a build without optimisations takes half as long.
$(TOOLS)/bin/cargo-deny:
	CARGO_PROFILE_DEV_DEBUG=0 $(CARGO) install cargo-deny --debug --version $(CARGO_DENY_VERSION) --locked \
		--root $(TOOLS)

PEERS = PATH="$(CURDIR)/$(TOOLS)/bin:$$PATH" $(CARGO) run --release --locked --quiet -p poolbench-peers --

# What can't be installed becomes a row that says so.
peers:
	@sh tests/peers/install.sh $(SUDO)
	@test -x $(TOOLS)/bin/oha || $(CARGO) install oha --version $(OHA_VERSION) --locked --root $(TOOLS) || true
	$(CARGO) build --release --locked -p poolbench -p poolbench-peers

# Postgres and PgBouncer, from the machine's own packages; nothing where they are there already.
servers:
	@sh scenarios/nova/install.sh $(SUDO)
