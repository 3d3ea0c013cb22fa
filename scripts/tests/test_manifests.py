"""The manifests in k8s/, rendered: valid for Kubernetes, and true to our rules."""

from __future__ import annotations

import re
import unittest
from typing import Callable

import k8s_policy
import manifests
import tools
from manifests import Object

VERSIONS = ("1.29", "1.33", "1.37")

# Kinds that come with operators, whose schemas no package carries.
CUSTOM = ("ScaledObject", "PodMonitor")


class Rendering(unittest.TestCase):
    def test_every_variant_is_valid_for_three_versions_of_kubernetes(self) -> None:
        tools.packages("kubernetes-validate")
        import kubernetes_validate

        seen: list[Object] = []
        for variant in manifests.VARIANTS:
            objects = manifests.objects(variant)
            self.assertGreater(len(objects), 10, variant)
            for thing in objects:
                if thing["kind"] in CUSTOM or thing in seen:
                    continue
                seen.append(thing)
                for version in VERSIONS:
                    with self.subTest(variant=variant, thing=manifests.name(thing), version=version):
                        kubernetes_validate.validate(thing, version, strict=True)

    def test_names_are_those_that_people_were_told(self) -> None:
        names = {(t["kind"], t["metadata"]["name"]) for t in manifests.objects("dev with monitoring")}

        for wanted in (
            ("Namespace", "redis-stream-demo"),
            ("Namespace", "monitoring"),
            ("ConfigMap", "app-config"),
            ("Deployment", "ingress-service"),
            ("Deployment", "proxy-service"),
            ("Service", "prometheus-service"),
            ("Service", "grafana-service"),
        ):
            self.assertIn(wanted, names)
        for app in ("ingress-service", "proxy-service"):
            pod = _find(manifests.objects("base"), "Deployment", app)["spec"]["template"]
            self.assertEqual(pod["metadata"]["labels"]["app"], app)
        ingress = _find(manifests.objects("base"), "Ingress", "ingress-service")
        self.assertEqual(ingress["spec"]["rules"][0]["host"], "redis-stream-demo.local")

    def test_every_setting_exists(self) -> None:
        documented = set(re.findall(r"^\| `([A-Z_]+)` \|", (tools.ROOT / "docs/OPERATIONS.md").read_text(), re.M))
        for variant in manifests.VARIANTS:
            objects = manifests.objects(variant)
            config = _find(objects, "ConfigMap", "app-config")["data"]
            self.assertLessEqual(set(config), documented, variant)
            for app in ("ingress-service", "proxy-service"):
                container = _find(objects, "Deployment", app)["spec"]["template"]["spec"]["containers"][0]
                own = {variable["name"] for variable in container["env"]} - {"REDIS_ADDRESS", "REDIS_PASSWORD"}
                self.assertLessEqual(own, documented, f"{variant}: {app}")

    def test_autoscalers_stay_within_what_was_agreed(self) -> None:
        for app, bounds in (("ingress-service", (2, 5)), ("proxy-service", (3, 10))):
            spec = _find(manifests.objects("base"), "HorizontalPodAutoscaler", app)["spec"]
            targets = {m["resource"]["name"]: m["resource"]["target"]["averageUtilization"] for m in spec["metrics"]}
            self.assertEqual((spec["minReplicas"], spec["maxReplicas"]), bounds)
            self.assertEqual(targets, {"cpu": 70, "memory": 80})

    def test_passwords_in_the_repository_say_that_they_are_for_laptops(self) -> None:
        generated = [path for path in (tools.ROOT / "k8s").rglob("*.env") if path.parent.name != "prod"]

        self.assertEqual([path.name for path in generated], ["redis-laptop-only.env"])
        self.assertIn("REDIS_PASSWORD=laptop-only\n", generated[0].read_text())
        self.assertNotIn("laptop-only", manifests.text("prod with everything"))
        done = tools.subprocess.run(["git", "check-ignore", "-q", "k8s/overlays/prod/redis.env"], cwd=tools.ROOT)
        self.assertEqual(done.returncode, 0, "what holds the real password must never be committed")


class Policy(unittest.TestCase):
    def test_every_variant_keeps_every_rule(self) -> None:
        for variant in manifests.VARIANTS:
            with self.subTest(variant=variant):
                self.assertEqual(k8s_policy.violations(manifests.objects(variant)), [])

    def test_each_broken_rule_is_found(self) -> None:
        for expected, damage in DAMAGES.items():
            with self.subTest(expected=expected):
                objects = manifests.objects("dev with everything" if "KEDA" in expected else "dev with monitoring")

                damage(objects)

                found = k8s_policy.violations(objects)
                self.assertTrue(any(expected in finding for finding in found), found)


def _find(objects: list[Object], kind: str, wanted: str) -> Object:
    return next(t for t in objects if (t["kind"], t["metadata"]["name"]) == (kind, wanted))


def _proxy(objects: list[Object]) -> Object:
    return _find(objects, "Deployment", "proxy-service")["spec"]["template"]


def _container(objects: list[Object]) -> Object:
    return _proxy(objects)["spec"]["containers"][0]


def _spec(objects: list[Object], kind: str, wanted: str) -> Object:
    return _find(objects, kind, wanted)["spec"]


def _redis_conf(objects: list[Object], old: str, new: str) -> None:
    data = next(t for t in objects if "redis.conf" in t.get("data", {}))["data"]
    assert old in data["redis.conf"]
    data["redis.conf"] = data["redis.conf"].replace(old, new)


def _set(path: str, value: object) -> Callable[[list[Object]], None]:
    """Sets something in the proxy's container; None takes it out."""

    def damage(objects: list[Object]) -> None:
        *parents, last = path.split(".")
        place = _container(objects)
        for part in parents:
            place = place[part]
        assert last in place, path
        if value is None:
            del place[last]
        else:
            place[last] = value

    return damage


# What the rules must say, by what is done to manifests that keep them all.
DAMAGES: dict[str, Callable[[list[Object]], None]] = {
    "enforces baseline, not restricted": lambda o: _find(o, "Namespace", "redis-stream-demo")["metadata"][
        "labels"
    ].update({"pod-security.kubernetes.io/enforce": "baseline"}),
    "readOnlyRootFilesystem is not True": _set("securityContext.readOnlyRootFilesystem", False),
    "allowPrivilegeEscalation is not False": _set("securityContext.allowPrivilegeEscalation", None),
    "capabilities are not all dropped": _set("securityContext.capabilities", {"drop": ["NET_RAW"]}),
    "runAsNonRoot is not True": lambda o: _proxy(o)["spec"]["securityContext"].pop("runAsNonRoot"),
    "seccompProfile is not RuntimeDefault": lambda o: _proxy(o)["spec"]["securityContext"].pop("seccompProfile"),
    "of a kind that is not allowed": lambda o: _proxy(o)["spec"].update(
        volumes=[{"name": "host", "hostPath": {"path": "/"}}]
    ),
    "mounts a token": lambda o: _proxy(o)["spec"].pop("automountServiceAccountToken"),
    "there is no ServiceAccount": lambda o: _proxy(o)["spec"].update(serviceAccountName="default"),
    "has no startupProbe": _set("startupProbe", None),
    "readinessProbe asks port 9009, which is not declared": _set("readinessProbe.httpGet.port", 9009),
    "liveness depends on Redis": _set("livenessProbe.httpGet.path", "/readyz"),
    "has no memory in its limits": _set("resources.limits.memory", None),
    "requests more memory than its limit": _set("resources.requests.memory", "1Gi"),
    "requests more CPU than its 1 threads use": _set("resources.requests.cpu", "1100m"),
    "has no fixed tag": _set("image", "registry:5000/streamgate/proxy:latest"),
    "does not select its own pods": lambda o: _proxy(o)["metadata"]["labels"].update(app="proxy"),
    "Service redis-stream-demo/proxy-service selects nothing": lambda o: _spec(o, "Service", "proxy-service")[
        "selector"
    ].update(app="proxy"),
    "has no port admin": lambda o: _spec(o, "Service", "proxy-service")["ports"][0].update(targetPort="admin"),
    "NetworkPolicy redis-stream-demo/proxy-service selects nothing": lambda o: _spec(
        o, "NetworkPolicy", "proxy-service"
    ).update(podSelector={"matchLabels": {"app": "proxies"}}),
    "there is no ConfigMap app-config-2": _set("envFrom", [{"configMapRef": {"name": "app-config-2"}}]),
    "has no REDIS_URI": lambda o: _container(o)["env"][1]["valueFrom"]["secretKeyRef"].update(key="REDIS_URI"),
    "which does not exist": lambda o: _spec(o, "Ingress", "ingress-service")["rules"][0]["http"]["paths"][0][
        "backend"
    ]["service"]["port"].update(name="https"),
    "does not deny by default": lambda o: o.remove(_find(o, "NetworkPolicy", "deny-all")),
    "opens port 6380, which StatefulSet redis-stream-demo/redis does not have": lambda o: _spec(
        o, "NetworkPolicy", "redis"
    )["ingress"][0]["ports"][0].update(port=6380),
    "lets in everybody": lambda o: _spec(o, "NetworkPolicy", "redis")["ingress"][0].pop("from"),
    "where it is not let in": lambda o: _spec(o, "NetworkPolicy", "redis")["ingress"][0]["from"][0].update(
        podSelector={"matchLabels": {"app": "ingress-service"}}
    ),
    "no node could be emptied": lambda o: _spec(o, "PodDisruptionBudget", "proxy-service").update(
        maxUnavailable=0
    ),
    "there is no {'apiVersion'": lambda o: _spec(o, "HorizontalPodAutoscaler", "proxy-service")[
        "scaleTargetRef"
    ].update(name="proxy"),
    "which each apply would set back": lambda o: _spec(o, "Deployment", "proxy-service").update(replicas=3),
    "outlasts terminationGracePeriodSeconds": lambda o: _proxy(o)["spec"].update(terminationGracePeriodSeconds=30),
    "does not fit into SHUTDOWN_GRACE": lambda o: _find(o, "ConfigMap", "app-config")["data"].update(
        REQUEST_TIMEOUT="60s"
    ),
    "does not come before the end": lambda o: _find(o, "ConfigMap", "app-config")["data"].update(
        SHUTDOWN_DELAY="40s"
    ),
    "appendonly is no": lambda o: _redis_conf(o, "appendonly yes", "appendonly no"),
    "maxmemory-policy is allkeys-lru": lambda o: _redis_conf(o, "noeviction", "allkeys-lru"),
    "leaves too little": lambda o: _redis_conf(o, "640mb", "1000mb"),
    "keeps its data on no claimed volume": lambda o: _spec(o, "StatefulSet", "redis").pop("volumeClaimTemplates"),
    "the passwords differ": lambda o: next(
        t for t in o if t["metadata"]["name"].startswith("redis-credentials-")
    )["data"].update(REDIS_PASSWORD="b3RoZXI="),
    "KEDA's enableTLS": lambda o: _spec(o, "ScaledObject", "proxy-service")["triggers"][0]["metadata"].update(
        enableTLS="true"
    ),
}


if __name__ == "__main__":
    unittest.main()
