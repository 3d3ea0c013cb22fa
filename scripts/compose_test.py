"""Runs deploy/compose.yaml for real: healthy, answers a forecast, keeps its data over down and up.

    python3 scripts/compose_test.py [--no-build]

Needs docker or podman, says so where there is neither, and takes away what it made. Grafana is
left out where its image cannot be had.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request

import engine
import images
import python_venv
from ports import free_port

COMPOSE = python_venv.ROOT / "deploy/compose.yaml"
PROJECT = "streamgate-test"
SERVICES = ["redis", "ingress", "proxy", "prometheus"]
PROXIES = 2
PATIENCE = 120


class Failed(Exception):
    """Something is not as it should be."""


class Composed:
    """The project of this run, on ports of its own."""

    def __init__(self, containers: engine.Engine) -> None:
        self.engine = containers
        variables = ("INGRESS_PORT", "INGRESS_ADMIN_PORT", "REDIS_PORT", "PROMETHEUS_PORT", "GRAFANA_PORT")
        self.ports = {variable: str(free_port()) for variable in variables}

    def run(self, *arguments: str) -> None:
        command = [*self.engine.compose, "-p", PROJECT, "-f", str(COMPOSE), *arguments]
        engine.show(command, env={**os.environ, **self.ports})

    def redis(self, *command: str) -> str:
        return self.engine.read("exec", "redis-stream", "redis-cli", *command)

    def containers(self) -> dict[str, str]:
        """Health of each container by name."""
        label = "label=com.docker.compose.project=" + PROJECT
        names = self.engine.read("ps", "--all", "--filter", label, "--format", "{{.Names}}").split()
        return {name: self._health(name) for name in names}

    def _health(self, name: str) -> str:
        if self.engine.name == "podman":
            # Without systemd nobody runs podman's checks but who asks for it.
            subprocess.run(["podman", "healthcheck", "run", name], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        state = json.loads(self.engine.read("inspect", name))[0]["State"]
        health = state.get("Health") or state.get("Healthcheck") or {}
        return f"{state['Status']}, {health.get('Status', 'no check')}"

    def url(self, variable: str, path: str) -> str:
        return f"http://127.0.0.1:{self.ports[variable]}{path}"


def main() -> int:
    """Exit code 1 if there is no engine or something is not as it should be."""
    parser = argparse.ArgumentParser(description="Run deploy/compose.yaml and ask it for a forecast.")
    parser.add_argument("--no-build", action="store_true", help="the images are there already")
    arguments, options = parser.parse_known_args()
    try:
        containers = engine.find()
    except engine.NotFound as problem:
        print(problem, file=sys.stderr)
        return 1
    composed = Composed(containers)
    if "redis-stream" in containers.read("ps", "--all", "--format", "{{.Names}}").split():
        print("there is a container redis-stream already: deploy/run-locally-docker.sh down", file=sys.stderr)
        return 1
    try:
        if not arguments.no_build:
            for name in images.NAMES:
                images.build(containers, name, "0.1.0", options)
        check(composed)
    except (Failed, subprocess.CalledProcessError) as problem:
        print(f"FAILED: {problem}", file=sys.stderr)
        composed.run("logs")
        return 1
    finally:
        composed.run("down", "--volumes")
    print("compose works: healthy, answers, keeps its data")
    return 0


def check(composed: Composed) -> None:
    """Everything that people are promised of compose.yaml."""
    services = SERVICES + grafana(composed.engine)
    composed.run("up", "-d", "--no-build", *services)
    wait_until_healthy(composed, len(services) + PROXIES - 1)

    forecast = ask(composed)
    print("a forecast:", json.dumps(forecast)[:200])
    for stream in ("weather-requests", "weather-responses"):
        expect(composed.redis("XLEN", stream), "1", f"entries of {stream}")
    wait_for("both workers and the gateway are scraped", lambda: scraped(composed) == 1 + PROXIES)

    composed.run("down")
    composed.run("up", "-d", "--no-build", *services)
    wait_until_healthy(composed, len(services) + PROXIES - 1)

    expect(composed.redis("XLEN", "weather-requests"), "1", "entries of weather-requests after down and up")
    ask(composed)
    expect(composed.redis("XLEN", "weather-requests"), "2", "entries after another forecast")


def grafana(containers: engine.Engine) -> list[str]:
    """Its image is the only one nothing here depends on."""
    image = next(line.split()[-1] for line in COMPOSE.read_text().splitlines() if "grafana/grafana:" in line)
    here = subprocess.run([containers.name, "image", "inspect", image], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    if here.returncode == 0 or subprocess.run([containers.name, "pull", "-q", image], stderr=subprocess.DEVNULL).returncode == 0:
        return ["grafana"]
    print(f"WITHOUT GRAFANA: {image} cannot be had here", file=sys.stderr)
    return []


def wait_until_healthy(composed: Composed, count: int) -> None:
    def healthy() -> bool:
        states = composed.containers()
        return len(states) == count and all(state == "running, healthy" for state in states.values())

    wait_for(f"{count} containers are healthy", healthy, composed.containers)
    for name, state in sorted(composed.containers().items()):
        print(f"  {name}: {state}")


def ask(composed: Composed) -> dict:
    """A forecast for the city that was asked for."""
    body = json.dumps({"city": "New York", "location": "Downtown"}).encode()
    request = urllib.request.Request(
        composed.url("INGRESS_PORT", "/WeatherForecast/city"), body, {"content-type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=35) as answer:
        forecast = json.load(answer)
    expect(forecast["city"], "New York", "city of the forecast")
    return forecast


def scraped(composed: Composed) -> int:
    """How many of our processes Prometheus sees up."""
    try:
        with urllib.request.urlopen(composed.url("PROMETHEUS_PORT", "/api/v1/query?query=up"), timeout=5) as answer:
            results = json.load(answer)["data"]["result"]
    except (urllib.error.URLError, ConnectionError):
        return 0
    return sum(result["value"][1] == "1" for result in results)


def wait_for(what: str, condition: object, state: object = lambda: "") -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise Failed(f"{what}: not within {PATIENCE} s; {state()}")
        time.sleep(0.5)
    print(f"{what}")


def expect(seen: str, wanted: str, what: str) -> None:
    if seen != wanted:
        raise Failed(f"{what}: {seen}, not {wanted}")
    print(f"{what}: {seen}")


if __name__ == "__main__":
    sys.exit(main())
