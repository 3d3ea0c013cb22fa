"""Rendered manifests, and what rules ask of them."""

from __future__ import annotations

import re
from typing import Any, Iterator

from manifests import Object

WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet")


class Manifests:
    """Rendered objects, and the questions that rules ask of them."""

    def __init__(self, objects: list[Object]) -> None:
        self.objects = objects

    def of(self, *kinds: str) -> list[Object]:
        return [thing for thing in self.objects if thing["kind"] in kinds]

    def find(self, kind: str, namespace: str, wanted: str) -> Object | None:
        for thing in self.of(kind):
            if thing["metadata"]["name"] == wanted and thing["metadata"].get("namespace", wanted) == namespace:
                return thing
        return None

    def workloads(self) -> list[Object]:
        return self.of(*WORKLOADS)

    def selected(self, selector: dict, namespace: str) -> list[Object]:
        """The workloads whose pods a selector matches."""
        return [
            workload
            for workload in self.workloads()
            if namespace_of(workload) == namespace and matches(selector, pod_of(workload)["metadata"]["labels"])
        ]

    def settings(self, workload: Object, container: Object) -> dict[str, str]:
        """The environment of a container as far as the manifests tell it."""
        values: dict[str, str] = {}
        for source in container.get("envFrom", []):
            found = self.find("ConfigMap", namespace_of(workload), source["configMapRef"]["name"])
            values.update(found["data"] if found else {})
        values.update({e["name"]: e["value"] for e in container.get("env", []) if "value" in e})
        return values


def quantity(text: str) -> float:
    """An amount as Kubernetes writes it: 500m, 1.5, 256Mi."""
    number, unit = re.fullmatch(r"([\d.]+)(m|[KMGT]i?)?", str(text)).groups()
    powers = {None: 1, "m": 1e-3}
    powers.update({u: 1000 ** (i + 1) for i, u in enumerate("KMGT")})
    powers.update({f"{u}i": 1024 ** (i + 1) for i, u in enumerate("KMGT")})
    return float(number) * powers[unit]


def seconds(text: str) -> float:
    """A duration of our settings: 500ms, 30s, 5m."""
    number, unit = re.fullmatch(r"(\d+)(ms|s|m)", text).groups()
    return int(number) * {"ms": 1e-3, "s": 1, "m": 60}[unit]


def namespace_of(thing: Object) -> str:
    return thing["metadata"].get("namespace", thing["metadata"]["name"] if thing["kind"] == "Namespace" else "")


def pod_of(workload: Object) -> dict:
    return workload["spec"]["template"]


def containers(m: Manifests) -> Iterator[tuple[Object, dict, dict]]:
    for workload in m.workloads():
        pod = pod_of(workload)["spec"]
        for container in pod["containers"] + pod.get("initContainers", []):
            yield workload, pod, container


def ports_of(container: dict) -> dict[Any, Any]:
    """Declared ports, number by name."""
    return {port["name"]: port["containerPort"] for port in container.get("ports", [])}


def matches(selector: dict, labels: dict) -> bool:
    by_label = all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items())
    expressions = selector.get("matchExpressions", [])
    assert all(e["operator"] == "In" for e in expressions), "only In is understood here"
    return by_label and all(labels.get(e["key"]) in e["values"] for e in expressions)


def refs(source: dict) -> Iterator[tuple[str, dict]]:
    """ConfigMaps and Secrets that an environment or a volume takes from."""
    for key, kind in (
        ("configMapRef", "ConfigMap"), ("configMapKeyRef", "ConfigMap"), ("configMap", "ConfigMap"),
        ("secretRef", "Secret"), ("secretKeyRef", "Secret"), ("secret", "Secret"),
    ):  # fmt: skip
        if key in source:
            yield kind, source[key]
