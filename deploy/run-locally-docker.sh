#!/usr/bin/env bash
# Everything in containers on this machine: builds, starts, waits until all is healthy, shows a real answer.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

usage() {
  cat <<'USAGE'
usage: deploy/run-locally-docker.sh [up|down|clean] [--dry-run]

  up        build what changed and start everything (the default)
  down      stop everything; what Redis holds stays
  clean     stop everything and remove what Redis and Prometheus hold
  --dry-run print the commands, run none

Ports: INGRESS_PORT, INGRESS_ADMIN_PORT, REDIS_PORT, PROMETHEUS_PORT, GRAFANA_PORT. Real weather:
WEATHER_PROVIDER=open-meteo.
USAGE
}

fail() {
  echo "run-locally-docker: $*" >&2
  exit 1
}

what=up dry=''
for argument in "$@"; do
  case $argument in
    up | down | clean) what=$argument ;;
    --dry-run) dry=yes ;;
    -h | --help) usage; exit 0 ;;
    *) fail "$argument is not understood (see --help)" ;;
  esac
done

run() {
  printf '+ %s\n' "$*"
  [ -n "$dry" ] || "$@"
}

command -v curl >/dev/null || fail "curl is not on PATH"
command -v docker >/dev/null || fail "docker is not on PATH: https://docs.docker.com/get-docker/ (with podman: docs/DEPLOYMENT.md)"
docker compose version >/dev/null 2>&1 || fail "docker has no compose: https://docs.docker.com/compose/install/"
if [ -z "$dry" ]; then
  docker info >/dev/null 2>&1 || fail "docker does not answer: is its engine running?"
fi

compose=(docker compose -f deploy/compose.yaml)
case $what in
  down) run "${compose[@]}" down; exit ;;
  clean) run "${compose[@]}" down --volumes; exit ;;
esac
run "${compose[@]}" up --build --detach --wait

url=http://localhost:${INGRESS_PORT:-5009}
run curl --silent --show-error --fail --max-time 35 -X POST "$url/WeatherForecast/city" \
  -H 'content-type: application/json' -d '{"city":"New York","location":"Downtown"}'
cat <<DONE


gateway     $url/WeatherForecast/city, $url/swagger
Grafana     http://localhost:${GRAFANA_PORT:-3000}
Prometheus  http://localhost:${PROMETHEUS_PORT:-9090}
streams     docker exec redis-stream redis-cli XRANGE weather-responses - +
logs        docker compose -f deploy/compose.yaml logs --follow ingress proxy
more workers, fewer workers:  docker compose -f deploy/compose.yaml up --detach --no-recreate --scale proxy=4
stop        deploy/run-locally-docker.sh down
DONE
