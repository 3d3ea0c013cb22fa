#!/bin/sh
# Load for a running gateway, with the defaults that people need.
#
#     scripts/load-test.sh                                what `make up` started
#     scripts/load-test.sh compose                        what `docker compose up` started
#     scripts/load-test.sh kubernetes                     the cluster's Ingress
#     scripts/load-test.sh local --mode rate --rate 500 --duration 30s --deadline 2s
#
# What follows the place goes to loadtest, in place of the defaults; `--help` there lists it all.
# URL=http://host:port chooses another address, LOADTEST=path another binary than the one built here.
set -eu

case "${1-}" in
local | compose | kubernetes)
    place=$1
    shift
    ;;
'' | -*) place=local ;;
*)
    echo "load-test.sh: $1 is no place: use local, compose or kubernetes, then arguments for loadtest" >&2
    exit 64
    ;;
esac

case $place in
local | compose) url=http://127.0.0.1:5009 ;;
kubernetes) url=http://redis-stream-demo.local ;;
esac
url=${URL:-$url}

# Enough to see the percentiles; over a network a few failures are no verdict on the gateway.
if [ $# -eq 0 ]; then
    case $place in
    local | compose) set -- --count 5000 --concurrency 50 ;;
    kubernetes) set -- --count 5000 --concurrency 100 --max-error-rate 1% ;;
    esac
fi

echo "sending load to $url ($place)" >&2
if [ -n "${LOADTEST-}" ]; then
    exec "$LOADTEST" --url "$url" "$@"
fi
cd "$(dirname "$0")/.."
exec cargo run --locked --quiet --release -p loadtest -- --url "$url" "$@"
