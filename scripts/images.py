"""Builds the images of ingress and proxy, and tells what they are.

    python3 scripts/images.py [--tag 0.1.0] [options of `docker build` ...]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys

import engine
import python_venv

NAMES = ("ingress", "proxy")


def main() -> int:
    """Exit code 1 if there is no engine or an image could not be built."""
    parser = argparse.ArgumentParser(description="Build the images of ingress and proxy.")
    parser.add_argument("--tag", default="0.1.0", help="tag of both images")
    arguments, options = parser.parse_known_args()
    try:
        containers = engine.find()
        for name in NAMES:
            build(containers, name, arguments.tag, options)
    except engine.NotFound as problem:
        print(problem, file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as problem:
        print(f"{problem.cmd[0]} ended with exit code {problem.returncode}", file=sys.stderr)
        return 1
    for name in NAMES:
        print(describe(containers, f"streamgate/{name}:{arguments.tag}"))
    return 0


def build(containers: engine.Engine, name: str, tag: str, options: list[str]) -> None:
    """Builds one image; podman's own format of images knows no health checks."""
    root = python_venv.ROOT
    formats = ["--format", "docker"] if containers.name == "podman" else []
    file = ["-f", root / "deploy/Dockerfile"]
    containers.run("build", *formats, *options, *file, "--build-arg", f"BIN={name}", "-t", f"streamgate/{name}:{tag}", root)


def describe(containers: engine.Engine, image: str) -> str:
    """What matters about an image in one line."""
    inspected = json.loads(containers.read("image", "inspect", image))[0]
    config = inspected["Config"]
    # Docker and podman keep it in different places.
    check = (config.get("Healthcheck") or inspected.get("Healthcheck") or {}).get("Test", ["none"])
    megabytes = inspected["Size"] / 1e6
    return f"{image}: {megabytes:.1f} MB, user {config['User']}, health check {' '.join(check)}"


if __name__ == "__main__":
    sys.exit(main())
