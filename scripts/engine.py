"""A container engine, docker or podman, and a compose for it.

Standard library only, Python 3.9 or newer.
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import python_venv


class NotFound(Exception):
    """There is no engine; the text says how to get one."""


@dataclass(frozen=True)
class Engine:
    """Commands of an engine that answers."""

    name: str
    compose: tuple[str, ...]

    def run(self, *arguments: str | Path) -> None:
        """Runs a command of the engine, which is shown with what it prints."""
        show([self.name, *map(str, arguments)])

    def read(self, *arguments: str | Path) -> str:
        """What a command of the engine prints."""
        return subprocess.check_output([self.name, *map(str, arguments)], text=True).strip()


def show(command: list[str], **options: object) -> None:
    """Runs a command, printed before its output."""
    print("+", *command, flush=True)
    subprocess.run(command, check=True, **options)


def find() -> Engine:
    """Docker if its engine answers, else podman."""
    tried = []
    for name in ("docker", "podman"):
        if shutil.which(name) is None:
            tried.append(f"{name} is not on PATH")
            continue
        asked = subprocess.run([name, "info"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if asked.returncode == 0:
            return Engine(name, _compose(name))
        tried.append(f"{name} does not answer")
    raise NotFound(
        f"no container engine: {', '.join(tried)}. Install Docker (https://docs.docker.com/get-docker/) or "
        "podman (apt install podman), and start it"
    )


def _compose(name: str) -> tuple[str, ...]:
    """Docker brings its own; podman's is a package on PyPI."""
    if name == "docker":
        return ("docker", "compose")
    found = shutil.which("podman-compose")
    return (found or str(python_venv.ensure("podman-compose").parent / "podman-compose"),)
