"""What must be true of the rendered manifests together; schemas know none of it."""

from __future__ import annotations

import base64
from typing import Any, Callable, Iterator
from urllib.parse import unquote, urlsplit

from k8s_model import Manifests, containers, matches, namespace_of, pod_of, ports_of, quantity, refs, seconds
from manifests import Object, name

Finding = Iterator[str]

PROBES = ("startupProbe", "livenessProbe", "readinessProbe")
DNS_PORT = 53


def violations(objects: list[Object]) -> list[str]:
    """Every broken rule, with the object that breaks it."""
    manifests = Manifests(objects)
    return [finding for rule in RULES for finding in rule(manifests)]


def namespaces_are_restricted(m: Manifests) -> Finding:
    for namespace in m.of("Namespace"):
        level = namespace["metadata"].get("labels", {}).get("pod-security.kubernetes.io/enforce")
        if level != "restricted":
            yield f"{name(namespace)} enforces {level}, not restricted"
    known = {n["metadata"]["name"] for n in m.of("Namespace")}
    for thing in m.objects:
        if thing["kind"] != "Namespace" and namespace_of(thing) not in known:
            yield f"{name(thing)} is in no namespace of ours"


def pods_are_restricted(m: Manifests) -> Finding:
    for workload, pod, container in containers(m):
        where = f"{name(workload)} container {container['name']}"
        security = {**pod.get("securityContext", {}), **container.get("securityContext", {})}
        for key, wanted in (
            ("runAsNonRoot", True),
            ("allowPrivilegeEscalation", False),
            ("readOnlyRootFilesystem", True),
        ):
            if security.get(key) is not wanted:
                yield f"{where}: {key} is not {wanted}"
        if not security.get("runAsUser"):
            yield f"{where}: runAsUser is not set, or root"
        if security.get("seccompProfile", {}).get("type") != "RuntimeDefault":
            yield f"{where}: seccompProfile is not RuntimeDefault"
        if security.get("capabilities") != {"drop": ["ALL"]}:
            yield f"{where}: capabilities are not all dropped"
        if security.get("privileged"):
            yield f"{where} is privileged"
    for workload in m.workloads():
        pod = pod_of(workload)["spec"]
        for key in ("hostNetwork", "hostPID", "hostIPC"):
            if pod.get(key):
                yield f"{name(workload)}: {key} is on"
        allowed = {"configMap", "secret", "emptyDir", "projected", "persistentVolumeClaim"}
        for volume in pod.get("volumes", []):
            if not set(volume) - {"name"} <= allowed:
                yield f"{name(workload)}: volume {volume['name']} is of a kind that is not allowed"


def accounts_have_no_token(m: Manifests) -> Finding:
    for workload in m.workloads():
        pod = pod_of(workload)["spec"]
        if pod.get("automountServiceAccountToken") is not False:
            yield f"{name(workload)} mounts a token"
        account = pod.get("serviceAccountName", "")
        if m.find("ServiceAccount", namespace_of(workload), account) is None:
            yield f"{name(workload)}: there is no ServiceAccount {account!r}"


def probes_ask_declared_ports(m: Manifests) -> Finding:
    for workload, _, container in containers(m):
        where = f"{name(workload)} container {container['name']}"
        ports = ports_of(container)
        for kind in PROBES:
            probe = container.get(kind)
            if probe is None:
                yield f"{where} has no {kind}"
                continue
            asked = probe.get("httpGet", probe.get("tcpSocket", {})).get("port")
            if "exec" not in probe and asked not in {*ports, *ports.values()}:
                yield f"{where}: {kind} asks port {asked}, which is not declared"
        if container.get("livenessProbe", {}).get("httpGet", {}).get("path") == "/readyz":
            yield f"{where}: liveness depends on Redis"


def resources_are_set(m: Manifests) -> Finding:
    for workload, _, container in containers(m):
        where = f"{name(workload)} container {container['name']}"
        resources = container.get("resources", {})
        amounts = {}
        for kind in ("requests", "limits"):
            for what in ("cpu", "memory"):
                if what not in resources.get(kind, {}):
                    yield f"{where} has no {what} in its {kind}"
                else:
                    amounts[kind, what] = quantity(resources[kind][what])
        for what in ("cpu", "memory"):
            if amounts.get(("requests", what), 0) > amounts.get(("limits", what), float("inf")):
                yield f"{where} requests more {what} than its limit"
        settings = m.settings(workload, container)
        threads = settings.get(f"{container['name'].upper()}_THREADS")
        if threads and amounts.get(("requests", "cpu"), 0) > int(threads):
            yield f"{where} requests more CPU than its {threads} threads use"


def images_are_pinned(m: Manifests) -> Finding:
    for workload, _, container in containers(m):
        _, _, tag = container["image"].rpartition("/")[2].partition(":")
        if tag in ("", "latest"):
            yield f"{name(workload)}: image {container['image']} has no fixed tag"


def selectors_match(m: Manifests) -> Finding:
    for workload in m.workloads():
        if not matches(workload["spec"]["selector"], pod_of(workload)["metadata"]["labels"]):
            yield f"{name(workload)} does not select its own pods"
        for spread in pod_of(workload)["spec"].get("topologySpreadConstraints", []):
            if not matches(spread["labelSelector"], pod_of(workload)["metadata"]["labels"]):
                yield f"{name(workload)} spreads pods that are not its own"
    for service in m.of("Service"):
        chosen = m.selected({"matchLabels": service["spec"]["selector"]}, namespace_of(service))
        if not chosen:
            yield f"{name(service)} selects nothing"
        for workload in chosen:
            ports: dict[Any, Any] = {}
            for container in pod_of(workload)["spec"]["containers"]:
                ports.update(ports_of(container))
            for port in service["spec"]["ports"]:
                if port.get("targetPort", port["port"]) not in {*ports, *ports.values()}:
                    yield f"{name(service)}: {name(workload)} has no port {port.get('targetPort')}"
    for policy in m.of("NetworkPolicy", "PodDisruptionBudget", "PodMonitor"):
        selector = policy["spec"].get("podSelector", policy["spec"].get("selector"))
        # A policy about a Redis that the overlay took out applies to nobody, which harms nobody.
        about_redis = selector.get("matchLabels", {}).get("app") == "redis"
        if selector and not about_redis and not m.selected(selector, namespace_of(policy)):
            yield f"{name(policy)} selects nothing"
    for stateful in m.of("StatefulSet"):
        if m.find("Service", namespace_of(stateful), stateful["spec"]["serviceName"]) is None:
            yield f"{name(stateful)}: there is no Service {stateful['spec']['serviceName']}"


def references_exist(m: Manifests) -> Finding:
    for workload, pod, container in containers(m):
        namespace, wanted = namespace_of(workload), []
        for source in container.get("envFrom", []):
            wanted += [(kind, ref["name"], None) for kind, ref in refs(source)]
        for variable in container.get("env", []):
            for kind, ref in refs(variable.get("valueFrom", {})):
                if not ref.get("optional"):
                    wanted.append((kind, ref["name"], ref["key"]))
        for volume in pod.get("volumes", []):
            for source in [volume, *volume.get("projected", {}).get("sources", [])]:
                wanted += [(kind, ref.get("name", ref.get("secretName")), None) for kind, ref in refs(source)]
        for kind, wanted_name, key in wanted:
            found = m.find(kind, namespace, wanted_name)
            if found is None:
                yield f"{name(workload)}: there is no {kind} {wanted_name}"
            elif key is not None and key not in found.get("data", {}):
                yield f"{name(workload)}: {kind} {wanted_name} has no {key}"
        names = {v["name"] for v in pod.get("volumes", [])}
        names |= {c["metadata"]["name"] for c in workload["spec"].get("volumeClaimTemplates", [])}
        for mount in container.get("volumeMounts", []):
            if mount["name"] not in names:
                yield f"{name(workload)}: there is no volume {mount['name']}"
    for ingress in m.of("Ingress"):
        for rule in ingress["spec"]["rules"]:
            for path in rule["http"]["paths"]:
                backend = path["backend"]["service"]
                service = m.find("Service", namespace_of(ingress), backend["name"])
                ports = service["spec"]["ports"] if service else []
                if not any(backend["port"] in ({"name": p["name"]}, {"number": p["port"]}) for p in ports):
                    yield f"{name(ingress)} leads to {backend}, which does not exist"


def flows_are_allowed(m: Manifests) -> Finding:
    """Nothing flows by default, and what policies allow leads to ports that exist."""
    for namespace in m.of("Namespace"):
        own = [p for p in m.of("NetworkPolicy") if namespace_of(p) == namespace["metadata"]["name"]]
        closed = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
        if not any(policy["spec"] == closed for policy in own):
            yield f"{name(namespace)} does not deny by default"
    for policy in m.of("NetworkPolicy"):
        spec, namespace = policy["spec"], namespace_of(policy)
        targets = m.selected(spec["podSelector"], namespace)
        for rule in spec.get("ingress", []):
            if not rule.get("from") or not rule.get("ports"):
                yield f"{name(policy)} lets in everybody, or to every port"
            for workload in targets:
                yield from _reaches(policy, rule, workload)
        for rule in spec.get("egress", []):
            if not rule.get("to") or not rule.get("ports"):
                yield f"{name(policy)} lets out to everybody, or to every port"
            for peer in rule.get("to", []):
                for workload in _peers(m, peer, namespace):
                    yield from _reaches(policy, rule, workload)
                    yield from _is_let_in(m, policy, rule, targets, workload)


def replicas_can_be_spared(m: Manifests) -> Finding:
    for budget in m.of("PodDisruptionBudget"):
        spec = budget["spec"]
        for workload in m.selected(spec["selector"], namespace_of(budget)):
            least = _least_replicas(m, workload)
            kept = spec.get("minAvailable", least - spec.get("maxUnavailable", 0))
            if kept >= least:
                yield f"{name(budget)} keeps {kept} of {least}: no node could be emptied"


def autoscalers_have_targets(m: Manifests) -> Finding:
    for scaler in m.of("HorizontalPodAutoscaler", "ScaledObject"):
        target = scaler["spec"]["scaleTargetRef"]
        workload = m.find(target.get("kind", "Deployment"), namespace_of(scaler), target["name"])
        if workload is None:
            yield f"{name(scaler)}: there is no {target}"
        elif "replicas" in workload["spec"]:
            yield f"{name(workload)} has replicas, which each apply would set back"
    scaled = [(namespace_of(s), s["spec"]["scaleTargetRef"]["name"]) for s in m.of("HorizontalPodAutoscaler", "ScaledObject")]
    for target in sorted({target for target in scaled if scaled.count(target) > 1}):
        yield f"{target[1]} has two autoscalers"


def shutdown_fits(m: Manifests) -> Finding:
    """SHUTDOWN_DELAY, the longest request and the last steps fit into SHUTDOWN_GRACE, and that into the pod's."""
    for workload, pod, container in containers(m):
        settings = m.settings(workload, container)
        if "SHUTDOWN_GRACE" not in settings:
            continue
        delay, grace, longest = (
            seconds(settings[key]) for key in ("SHUTDOWN_DELAY", "SHUTDOWN_GRACE", "REQUEST_TIMEOUT")
        )
        if not 0 < delay < grace:
            yield f"{name(workload)}: SHUTDOWN_DELAY={delay:g}s does not come before the end of SHUTDOWN_GRACE"
        if delay + longest + 1 > grace:
            yield f"{name(workload)}: REQUEST_TIMEOUT={longest:g}s does not fit into SHUTDOWN_GRACE={grace:g}s"
        if grace >= pod.get("terminationGracePeriodSeconds", 30):
            yield f"{name(workload)}: SHUTDOWN_GRACE={grace:g}s outlasts terminationGracePeriodSeconds"


def redis_keeps_what_it_has(m: Manifests) -> Finding:
    for workload in m.workloads():
        if pod_of(workload)["metadata"]["labels"].get("app") != "redis":
            continue
        config = next(c for c in m.of("ConfigMap") if "redis.conf" in c.get("data", {}))
        lines = dict(
            line.split(" ", 1) for line in config["data"]["redis.conf"].splitlines() if line and line[0] != "#"
        )
        for key, wanted in (
            ("appendonly", "yes"),
            ("appendfsync", "everysec"),
            ("maxmemory-policy", "noeviction"),
        ):
            if lines.get(key) != wanted:
                yield f"redis.conf: {key} is {lines.get(key)}, not {wanted}"
        container = pod_of(workload)["spec"]["containers"][0]
        limit = quantity(container["resources"]["limits"]["memory"])
        maxmemory = int(lines.get("maxmemory", "0mb").removesuffix("mb")) * 1024**2
        if not 0 < maxmemory <= 0.75 * limit:
            yield f"redis.conf: maxmemory={maxmemory} leaves too little of the container's {limit:.0f} bytes"
        kept = [c["metadata"]["name"] for c in workload["spec"].get("volumeClaimTemplates", [])]
        if not any(v["mountPath"] == "/data" and v["name"] in kept for v in container["volumeMounts"]):
            yield f"{name(workload)} keeps its data on no claimed volume"


def credentials_agree(m: Manifests) -> Finding:
    for secret in m.of("Secret"):
        if not secret["metadata"]["name"].startswith("redis-credentials-"):
            continue
        data = {key: base64.b64decode(value).decode() for key, value in secret["data"].items()}
        url = urlsplit(data["REDIS_URL"])
        if unquote(url.password or "") != data["REDIS_PASSWORD"]:
            yield f"{name(secret)}: the passwords differ"
        if f"{url.hostname}:{url.port}" != data["REDIS_ADDRESS"]:
            yield f"{name(secret)}: the addresses differ"
        if m.find("StatefulSet", namespace_of(secret), "redis") is None and url.scheme != "rediss":
            yield f"{name(secret)}: a Redis outside is reached without TLS"
        tls = [t["metadata"]["enableTLS"] for s in m.of("ScaledObject") for t in s["spec"]["triggers"] if "stream" in t["metadata"]]
        if any(value != str(url.scheme == "rediss").lower() for value in tls):
            yield f"{name(secret)}: KEDA's enableTLS is not that of REDIS_URL"


RULES: tuple[Callable[[Manifests], Finding], ...] = (
    namespaces_are_restricted,
    pods_are_restricted,
    accounts_have_no_token,
    probes_ask_declared_ports,
    resources_are_set,
    images_are_pinned,
    selectors_match,
    references_exist,
    flows_are_allowed,
    replicas_can_be_spared,
    autoscalers_have_targets,
    shutdown_fits,
    redis_keeps_what_it_has,
    credentials_agree,
)


def _peers(m: Manifests, peer: dict, namespace: str) -> list[Object]:
    """Our workloads that a peer of a policy means."""
    if "ipBlock" in peer:
        return []
    there = peer.get("namespaceSelector", {}).get("matchLabels", {}).get("kubernetes.io/metadata.name", namespace)
    return m.selected(peer.get("podSelector", {}), there)


def _reaches(policy: Object, rule: dict, workload: Object) -> Finding:
    declared = {port for c in pod_of(workload)["spec"]["containers"] for port in ports_of(c).values()}
    for port in rule.get("ports", []):
        if port["port"] not in declared | {DNS_PORT}:
            yield f"{name(policy)} opens port {port['port']}, which {name(workload)} does not have"


def _is_let_in(m: Manifests, policy: Object, rule: dict, callers: list[Object], callee: Object) -> Finding:
    """A way out that ends at a closed door is no way."""
    for caller in callers:
        for port in {p["port"] for p in rule["ports"]}:
            if not any(_admits(m, door, caller, callee, port) for door in m.of("NetworkPolicy")):
                yield f"{name(policy)} lets {name(caller)} out to {name(callee)}:{port}, where it is not let in"


def _admits(m: Manifests, policy: Object, caller: Object, callee: Object, port: int) -> bool:
    spec, namespace = policy["spec"], namespace_of(policy)
    if callee not in m.selected(spec["podSelector"], namespace):
        return False
    return any(
        port in {p["port"] for p in rule.get("ports", [])} and caller in _peers(m, peer, namespace)
        for rule in spec.get("ingress", [])
        for peer in rule.get("from", [])
    )


def _least_replicas(m: Manifests, workload: Object) -> int:
    for scaler in m.of("HorizontalPodAutoscaler", "ScaledObject"):
        target = scaler["spec"]["scaleTargetRef"]
        if target["name"] == workload["metadata"]["name"] and namespace_of(scaler) == namespace_of(workload):
            return scaler["spec"].get("minReplicas", scaler["spec"].get("minReplicaCount"))
    return workload["spec"].get("replicas", 1)
