# What people, README and CI call. Needs Rust, Python 3.9 or newer and make; the rest is found or
# installed into .venv and .tools.
.POSIX:
.PHONY: help up redisflow test check browser-test dashboards-test fuzz-api load overload durability bench instructions chaos images compose-test chat chat-test events events-fuzz events-swagger clean

PYTHON = python3
CARGO = cargo
ARGS =
SEED = 1
# Runs a command beside a stack of its own: settings of the stack, --, the command.
STACK = $(CARGO) run --quiet --locked -p stack -- run
# The same for examples/chat, with senders and clients in a hurry.
CHAT = $(CARGO) run --quiet --locked -p stack -- system chat CHAT_SEND_RATE=1000 CHAT_SEND_BURST=1000 CHAT_RETRY=200ms
# The same for examples/events, with tokens.
EVENTS = $(CARGO) run --quiet --locked -p stack -- system events EVENTS_JWT_KEYS=test:$(EVENTS_SECRET) EVENTS_ADMIN_PASSWORD=$(EVENTS_SECRET) EVENTS_LOGINS_PER_MINUTE=10000
EVENTS_SECRET = a-secret-for-this-test-and-nothing-else
# An admin token; what changes dead letters is off without one.
FUZZED = ADMIN_TOKEN=a-token-for-this-test-alone
# Fewer slots than callers, so that some wait and some are shed.
WATCHED = MAX_IN_FLIGHT=8 WORKER_CONCURRENCY=16 SIMULATED_LATENCY=10ms..100ms HOUSEKEEPING_PERIOD=500ms

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' Makefile

up: ## Start Redis, proxy and ingress here, show their logs; Ctrl-C stops them
	@command -v $(CARGO) >/dev/null || { echo 'cargo is not on PATH: install Rust from https://rustup.rs'; exit 1; }
	@exec env PYTHON=$(PYTHON) $(CARGO) run --locked --profile up -p stack -- up $(ARGS)

redisflow: ## Start Redis, two producers, two consumers and a live view of them; Ctrl-C stops them
	@command -v $(CARGO) >/dev/null || { echo 'cargo is not on PATH: install Rust from https://rustup.rs'; exit 1; }
	@$(CARGO) build --locked --profile up -p redisflow -p stack
	@exec env PYTHON=$(PYTHON) $(CARGO) run --quiet --locked --profile up -p stack -- redis -- redisflow demo $(ARGS)

test: ## Build and run all tests against a real Redis server
	@set -eu; \
	STREAMGATE_TEST_REDIS_SERVER=$$($(PYTHON) scripts/redis_server.py); \
	STREAMGATE_TEST_PYTHON=$$($(PYTHON) scripts/python_venv.py redis pyyaml); \
	export STREAMGATE_TEST_REDIS_SERVER STREAMGATE_TEST_PYTHON; \
	echo "testing with $$STREAMGATE_TEST_REDIS_SERVER"; \
	set -x; \
	$(CARGO) build --locked --workspace; \
	$(CARGO) test --locked --workspace --all-features; \
	$(CARGO) run --locked -p chaos -- --seed $(SEED) --duration 60s; \
	"$$STREAMGATE_TEST_PYTHON" -m unittest discover -s scripts/tests; \
	$(STACK) -- $(PYTHON) scripts/browser_test.py --skip-without-browser; \
	$(CHAT) -- $(PYTHON) scripts/chat_browser_test.py --skip-without-browser; \
	$(STACK) $(FUZZED) -- $(PYTHON) scripts/api_fuzz.py --examples 50 --skip-without-python; \
	$(STACK) $(WATCHED) -- $(PYTHON) scripts/dashboards_test.py --skip-without-prometheus; \
	export EVENTS_ADMIN_PASSWORD=$(EVENTS_SECRET); \
	$(EVENTS) -- $(PYTHON) scripts/events_browser_test.py --skip-without-browser; \
	$(EVENTS) -- $(PYTHON) scripts/events_fuzz.py --examples 20 --skip-without-python

check: ## Check formatting, lints, documentation and licences; warnings are errors
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets --all-features -- -D warnings
	RUSTDOCFLAGS=-Dwarnings $(CARGO) doc --locked --no-deps --workspace --all-features
	@if command -v cargo-deny >/dev/null; then cargo-deny check bans licenses sources; \
	else echo 'SKIPPED: licences and sources of crates (cargo install --locked cargo-deny)'; fi

chat: ## Start examples/chat: two replicas and Redis, with their logs; Ctrl-C stops them
	@command -v $(CARGO) >/dev/null || { echo 'cargo is not on PATH: install Rust from https://rustup.rs'; exit 1; }
	@exec env PYTHON=$(PYTHON) $(CARGO) run --locked --profile up -p stack -- system chat $(ARGS)

chat-test: ## Use the page of examples/chat in a real browser (needs Chromium)
	$(CARGO) build --locked -p chat
	$(CHAT) -- $(PYTHON) scripts/chat_browser_test.py $(ARGS)

events: ## Start examples/events with Redis on SQLite, or with ARGS=--postgres; Ctrl-C stops all
	@command -v $(CARGO) >/dev/null || { echo 'cargo is not on PATH: install Rust from https://rustup.rs'; exit 1; }
	@exec env PYTHON=$(PYTHON) EVENTS_AUTH=$${EVENTS_AUTH:-off} $(CARGO) run --locked --profile up -p stack -- system events $(ARGS)

events-fuzz: ## Send the API of examples/events requests that its description allows and forbids
	$(CARGO) build --locked -p events
	EVENTS_ADMIN_PASSWORD=$(EVENTS_SECRET) $(EVENTS) -- $(PYTHON) scripts/events_fuzz.py $(ARGS)

events-swagger: ## Log in and create a user on the Swagger page of examples/events (needs Chromium)
	$(CARGO) build --locked -p events
	EVENTS_ADMIN_PASSWORD=$(EVENTS_SECRET) $(EVENTS) -- $(PYTHON) scripts/events_browser_test.py $(ARGS)

browser-test: ## Use the Swagger page in a real browser (needs Chromium)
	$(CARGO) build --locked -p ingress -p proxy
	$(STACK) -- $(PYTHON) scripts/browser_test.py $(ARGS)

fuzz-api: ## Send both APIs requests that their descriptions allow and forbid
	$(CARGO) build --locked -p ingress -p proxy
	$(STACK) $(FUZZED) -- $(PYTHON) scripts/api_fuzz.py $(ARGS)

dashboards-test: ## Run every query of the dashboards and alerts on a real Prometheus, under load
	$(CARGO) build --locked -p ingress -p proxy
	$(STACK) $(WATCHED) -- $(PYTHON) scripts/dashboards_test.py $(ARGS)

load: ## Send load to a running gateway: make load ARGS="--count 1000 --concurrency 50"
	$(CARGO) run --locked --release -p loadtest -- $(ARGS)

overload: ## Offer up to ten times the capacity, check the bounds, write docs/PERFORMANCE.md
	@set -eu; \
	BENCH_REDIS_SERVER=$$($(PYTHON) scripts/redis_server.py); \
	export BENCH_REDIS_SERVER; \
	set -x; \
	$(CARGO) build --release --locked -p ingress -p proxy -p loadtest -p bench; \
	$(CARGO) run --release --locked -p bench -- --only overload --seconds 15 $(ARGS)

durability: ## Kill Redis in each durability setting, count what is lost, write docs/OPERATIONS.md
	@set -eu; \
	BENCH_REDIS_SERVER=$$($(PYTHON) scripts/redis_server.py); \
	export BENCH_REDIS_SERVER; \
	set -x; \
	$(CARGO) build --release --locked -p ingress -p proxy -p loadtest -p bench; \
	$(CARGO) run --release --locked -p bench -- --only durability --seconds 4 $(ARGS)

bench: ## Measure against a direct handler, NATS and raw Redis, write docs/PERFORMANCE.md (about 20 minutes)
	@set -eu; \
	BENCH_REDIS_SERVER=$$($(PYTHON) scripts/redis_server.py); \
	BENCH_NATS_SERVER=$$($(PYTHON) scripts/bench_tools.py nats-server); \
	BENCH_WRK=$$($(PYTHON) scripts/bench_tools.py wrk); \
	export BENCH_REDIS_SERVER BENCH_NATS_SERVER BENCH_WRK; \
	set -x; \
	$(CARGO) build --release --locked -p ingress -p proxy -p loadtest -p chat -p events -p bench; \
	$(CARGO) run --release --locked -p bench -- $(ARGS)

instructions: ## Count the instructions of each step of the hot path with callgrind, write docs/PERFORMANCE.md
	$(CARGO) run --release --locked -p bench -- instructions $(ARGS)

chaos: ## Inject faults for ten minutes and check the promises: make chaos SEED=2
	@set -eu; \
	STREAMGATE_TEST_REDIS_SERVER=$$($(PYTHON) scripts/redis_server.py); \
	export STREAMGATE_TEST_REDIS_SERVER; \
	set -x; \
	$(CARGO) build --locked -p ingress -p chaos; \
	$(CARGO) run --locked -p chaos -- --seed $(SEED) --duration 10m $(ARGS)

images: ## Build the images of ingress and proxy with docker or podman: make images ARGS="--tag 1.2.3"
	@$(PYTHON) scripts/images.py $(ARGS)

compose-test: ## Run deploy/compose.yaml for real, with docker or podman, and ask it for a forecast
	@$(PYTHON) scripts/compose_test.py $(ARGS)

clean: ## Remove what was built and installed; the data of Redis in .data stays
	$(CARGO) clean
	rm -rf .venv .tools
	find scripts -name __pycache__ -prune -exec rm -rf {} +
