#!/usr/bin/env bash
# The deployment in a cluster at a glance: pods, autoscalers, streams, backlog and dead letters.
set -euo pipefail

usage() {
  cat <<'USAGE'
usage: deploy/monitor.sh [--context NAME] [--namespace NAME] [--watch SECONDS] [--dry-run]

  --context NAME     the cluster, a context of kubectl (default: the current one)
  --namespace NAME   where the gateway is (default: redis-stream-demo)
  --watch SECONDS    again and again, until Ctrl-C
  --dry-run          print the commands, run none
USAGE
}

fail() {
  echo "monitor: $*" >&2
  exit 1
}

context='' namespace=redis-stream-demo watch='' dry=''
while [ $# -gt 0 ]; do
  case $1 in
    --context | --namespace | --watch)
      [ -n "${2:-}" ] || fail "$1 needs a value (see --help)"
      name=${1#--}
      printf -v "$name" %s "$2"
      shift ;;
    --dry-run) dry=yes ;;
    -h | --help) usage; exit 0 ;;
    *) fail "$1 is not understood (see --help)" ;;
  esac
  shift
done

kube() {
  set -- kubectl ${context:+--context "$context"} --namespace "$namespace" --request-timeout 10s "$@"
  if [ -n "$dry" ]; then
    printf '+ %s\n' "$*"
  else
    "$@"
  fi
}

[ -n "$dry" ] || command -v kubectl >/dev/null || fail "kubectl is not on PATH: https://kubernetes.io/docs/tasks/tools/"
command -v python3 >/dev/null || fail "python3 is not on PATH"

# The workers' operations API tells of the streams, wherever Redis is; it is reached through a port that is
# forwarded to one of them for as long as this runs.
forward() {
  set -- kubectl ${context:+--context "$context"} --namespace "$namespace" port-forward service/proxy-service :5010
  if [ -n "$dry" ]; then
    printf '+ %s\n' "$*"
    port=PORT
    return
  fi
  said=$(mktemp)
  "$@" >"$said" 2>&1 &
  forwarding=$!
  trap 'kill "$forwarding" 2>/dev/null || true; rm -f "$said"' EXIT
  for _ in $(seq 100); do
    port=$(sed -n 's/^Forwarding from 127\.0\.0\.1:\([0-9]*\) .*/\1/p' "$said")
    [ -z "$port" ] || return 0
    kill -0 "$forwarding" 2>/dev/null || break
    sleep 0.1
  done
  fail "no worker can be reached: $(tail -n 1 "$said")"
}

# One line for a stream, one for each of its groups, and the consumers that have something in hand.
summary='
import json, sys, urllib.error, urllib.request
try:
    with urllib.request.urlopen(sys.argv[1], timeout=5) as answer:
        stream = json.load(answer)
except urllib.error.HTTPError as error:
    sys.exit(error.read().decode())
except (OSError, ValueError) as error:
    sys.exit(str(error))
print("{name}: {length} entries, {bytes} bytes".format(**stream))
for group in stream["groups"]:
    lag = "unknown" if group["lag"] is None else group["lag"]
    print("  {name}: lag {0}, pending {pending}, oldest {oldestAgeSeconds:.1f} s, {1} consumers{2}".format(
        lag, len(group["consumers"]), ", ABANDONED" if group["abandoned"] else "", **group))
    for consumer in group["consumers"]:
        if consumer["pending"]:
            print("    {name}: {pending} pending".format(**consumer))
'

show_stream() {
  if [ -n "$dry" ]; then
    echo "+ GET http://127.0.0.1:$port/streams/$1"
    return
  fi
  # A proxy of the environment has no way to this machine's own port.
  no_proxy='*' python3 -c "$summary" "http://127.0.0.1:$port/streams/$1" || fail "the operations API does not answer as expected"
}

setting() {
  local value=''
  [ -n "$dry" ] || value=$(kube get configmap app-config -o "jsonpath={.data.$1}")
  echo "${value:-$2}"
}

show() {
  kube get pods -o wide
  echo
  kube get horizontalpodautoscalers
  echo
  # Without metrics-server there is nothing to show, which is no reason to end.
  kube top pods || true
  echo
  show_stream "$requests"
  show_stream "$dead_letters"
}

if [ -z "$dry" ]; then
  # kubectl prints each attempt; the last line names the cause.
  said=$(kube get namespace "$namespace" 2>&1) ||
    fail "the cluster does not answer, or has no namespace $namespace: ${said##*$'\n'}"
fi
requests=$(setting REQUEST_STREAM weather-requests)
case $requests in
  *'{'*) dead_letters=$requests:dlq ;;
  *) dead_letters="%7B$requests%7D:dlq" ;;
esac
forward
while :; do
  [ -z "$watch" ] || [ -n "$dry" ] || printf '\033[H\033[2J%s\n\n' "$(date)"
  show
  [ -n "$watch" ] && [ -z "$dry" ] || break
  sleep "$watch"
done
