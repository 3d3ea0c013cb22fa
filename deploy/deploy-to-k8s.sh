#!/usr/bin/env bash
# Builds the images, pushes them to a registry, applies the manifests, waits until everything runs, and says where.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

usage() {
  cat <<'USAGE'
usage: deploy/deploy-to-k8s.sh --registry REGISTRY [options]

  --registry REGISTRY  where the images go, such as registry.example.com/team (or --load)
  --load kind|minikube no registry: put the images into this local cluster
  --tag TAG            tag of the images (default: the commit, `-dirty` if something is not committed)
  --overlay NAME       dev or prod, a folder of k8s/overlays (default: dev)
  --context NAME       the cluster, a context of kubectl (default: the current one)
  --no-build           the images are in the registry already
  --no-monitoring      without Prometheus and Grafana
  --operator           PodMonitors for a Prometheus operator, instead of Prometheus and Grafana
  --keda               scale the workers by the queue (needs KEDA)
  --open-meteo         real weather
  --api-keys           callers need an API key, of k8s/components/api-keys/api-keys
  --timeout DURATION   longest wait for each rollout (default: 180s)
  --dry-run            print the commands, run none
USAGE
}

fail() {
  echo "deploy-to-k8s: $*" >&2
  exit 1
}

registry='' load='' tag='' overlay=dev context='' build=yes monitoring=monitoring keda='' open_meteo='' api_keys='' timeout=180s dry=''
while [ $# -gt 0 ]; do
  case $1 in
    --registry | --load | --tag | --overlay | --context | --timeout)
      [ -n "${2:-}" ] || fail "$1 needs a value (see --help)"
      name=${1#--}
      printf -v "$name" %s "$2"
      shift ;;
    --no-build) build='' ;;
    --no-monitoring) monitoring='' ;;
    --operator) monitoring="monitoring-operator" ;;
    --keda) keda=yes ;;
    --open-meteo) open_meteo=yes ;;
    --api-keys) api_keys=yes ;;
    --dry-run) dry=yes ;;
    -h | --help) usage; exit 0 ;;
    *) fail "$1 is not understood (see --help)" ;;
  esac
  shift
done

run() {
  printf '+ %s\n' "$*"
  [ -n "$dry" ] || "$@"
}

kube() {
  run kubectl ${context:+--context "$context"} "$@"
}

# Asks the cluster without changing anything.
ask() {
  kubectl ${context:+--context "$context"} --request-timeout 10s "$@"
}

# Check the options and the files before anything is changed.
[ -n "$registry" ] || [ -n "$load" ] || fail "where do the images go? --registry REGISTRY, or --load kind|minikube"
[ -z "$registry" ] || [ -z "$load" ] || fail "--registry and --load exclude each other"
case $load in '' | kind | minikube) ;; *) fail "--load $load: kind or minikube" ;; esac
[ -f "k8s/overlays/$overlay/kustomization.yaml" ] || fail "there is no overlay $overlay in k8s/overlays"
if [ "$overlay" = prod ] && [ ! -f k8s/overlays/prod/redis.env ]; then
  fail "k8s/overlays/prod/redis.env is missing: copy redis.env.example beside it and fill it in"
fi
if [ -n "$api_keys" ] && [ ! -f k8s/components/api-keys/api-keys ]; then
  fail "k8s/components/api-keys/api-keys is missing: copy api-keys.example beside it and fill it in"
fi
# A dry run prints the commands of programs that may be elsewhere.
has() {
  [ -n "$dry" ] || command -v "$1" >/dev/null
}
has kubectl || fail "kubectl is not on PATH: https://kubernetes.io/docs/tasks/tools/"
engine=${CONTAINER_ENGINE:-}
if [ -n "$build" ] && [ -z "$engine" ]; then
  engine=$(command -v docker >/dev/null && echo docker || echo podman)
fi
if [ -n "$build" ]; then
  has "$engine" || fail "neither docker nor podman is on PATH: install one, or --no-build"
fi
[ -z "$load" ] || has "$load" || fail "$load is not on PATH"
if [ -z "$dry" ]; then
  [ -z "$build" ] || "$engine" info >/dev/null 2>&1 || fail "$engine does not answer: is its engine running?"
  ask version >/dev/null 2>&1 || fail "the cluster${context:+ $context} does not answer: kubectl cluster-info says more"
  if [ -n "$keda" ] && ! ask get crd scaledobjects.keda.sh >/dev/null 2>&1; then
    fail "KEDA is not in this cluster: https://keda.sh/docs/latest/deploy/, or leave out --keda"
  fi
  if [ "$monitoring" = monitoring-operator ] && ! ask get crd podmonitors.monitoring.coreos.com >/dev/null 2>&1; then
    fail "there is no Prometheus operator in this cluster: leave out --operator"
  fi
fi

if [ -z "$tag" ]; then
  tag=$(git describe --always --dirty --abbrev=12) || fail "no git here: name the images with --tag"
fi
prefix=${registry:+$registry/}streamgate

if [ -n "$build" ]; then
  for name in ingress proxy; do
    run "$engine" build -f deploy/Dockerfile --build-arg "BIN=$name" -t "$prefix/$name:$tag" .
    case $load in
      kind) run kind load docker-image "$prefix/$name:$tag" ;;
      minikube) run minikube image load "$prefix/$name:$tag" ;;
      *) run "$engine" push "$prefix/$name:$tag" ;;
    esac
  done
fi

# The chosen components and image names. Each run writes this file again; git does not keep it.
folder=.data/deploy
mkdir -p "$folder"
{
  printf 'apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n'
  printf 'resources:\n  - ../../k8s/overlays/%s\n' "$overlay"
  components=()
  [ -z "$monitoring" ] || components+=("$monitoring")
  [ -z "$keda" ] || components+=(keda)
  [ -z "$keda" ] || [ "$overlay" != prod ] || components+=(keda-tls)
  [ -z "$open_meteo" ] || components+=(open-meteo)
  [ -z "$api_keys" ] || components+=(api-keys)
  if [ ${#components[@]} -gt 0 ]; then
    printf 'components:\n'
    printf '  - ../../k8s/components/%s\n' "${components[@]}"
  fi
  printf 'images:\n'
  for name in ingress proxy; do
    printf '  - name: streamgate/%s\n    newName: %s/%s\n    newTag: "%s"\n' "$name" "$prefix" "$name" "$tag"
  done
} >"$folder/kustomization.yaml"

exec 3>&1
applied=$(kube apply -k "$folder" | tee /dev/fd/3)
# Settings have no hash in their name: pods that are not replaced anyway would keep the old ones.
case $applied in
  *'configmap/app-config configured'*)
    kube -n redis-stream-demo rollout restart deployment/ingress-service deployment/proxy-service ;;
esac
[ "$overlay" = prod ] || kube -n redis-stream-demo rollout status statefulset/redis --timeout "$timeout"
kube -n redis-stream-demo rollout status deployment/proxy-service --timeout "$timeout"
kube -n redis-stream-demo rollout status deployment/ingress-service --timeout "$timeout"
if [ "$monitoring" = monitoring ]; then
  kube -n monitoring rollout status statefulset/prometheus --timeout "$timeout"
  kube -n monitoring rollout status deployment/grafana --timeout "$timeout"
fi

url=http://redis-stream-demo.local
if [ -z "$dry" ]; then
  host=$(ask -n redis-stream-demo get ingress ingress-service -o 'jsonpath={.spec.rules[0].host}')
  tls=$(ask -n redis-stream-demo get ingress ingress-service -o 'jsonpath={.spec.tls[0].secretName}')
  url=http${tls:+s}://$host
fi
kubectl="kubectl${context:+ --context $context}"
cat <<DONE

gateway      $url/WeatherForecast/city, $url/swagger
             (a host that DNS does not know: point it at the ingress controller, or
             $kubectl -n redis-stream-demo port-forward svc/ingress-service 5009, then http://localhost:5009)
operations   $kubectl -n redis-stream-demo port-forward svc/proxy-service 5010, then http://localhost:5010/swagger
DONE
if [ "$monitoring" = monitoring ]; then
  cat <<DONE
Grafana      $kubectl -n monitoring port-forward svc/grafana-service 3000, then http://localhost:3000
Prometheus   $kubectl -n monitoring port-forward svc/prometheus-service 9090, then http://localhost:9090
DONE
fi
echo "at a glance  deploy/monitor.sh${context:+ --context $context}"
