"""Finds what `make bench` loads and compares with, or gets Debian's without root: wrk and nats-server.

    python3 scripts/bench_tools.py wrk        prints the path of wrk
    python3 scripts/bench_tools.py nats-server

In this order: PATH (and where Debian puts servers); Debian's packages, unpacked into `.tools`. Standard
library only, Python 3.9 or newer.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import debian

# With the libraries that a fresh Debian does not have.
PACKAGES = {"wrk": ("wrk", "libluajit-5.1-2", "libluajit-5.1-common"), "nats-server": ("nats-server",)}
PROGRAMS = {"wrk": "usr/bin/wrk", "nats-server": "usr/sbin/nats-server"}

ADVICE = """\
no {name} on PATH, and none could be downloaded. Install it:
  Debian, Ubuntu   apt install {name}
  macOS            brew install {name}"""

WRAPPER = """\
#!/bin/sh
folder=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
LD_LIBRARY_PATH=$(echo "$folder"/usr/lib/*-linux-*) exec "$folder/{program}" "$@"
"""


class NotFound(Exception):
    """There is no such program; the text says how to get one."""


def find(name: str, tools: Path = debian.ROOT / ".tools") -> Path:
    """The path of a program."""
    found = shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"]))
    if found:
        return Path(found).absolute()
    try:
        folder = debian.unpacked(name, PACKAGES[name], [PROGRAMS[name]], tools)
    except debian.Unavailable as problem:
        raise NotFound(f"{problem}\n\n{ADVICE.format(name=name)}") from None
    wrapper = folder / name
    # Renamed into place: another process may be about to run it.
    fresh = wrapper.with_suffix(f".{os.getpid()}")
    fresh.write_text(WRAPPER.format(program=PROGRAMS[name]))
    fresh.chmod(0o755)
    fresh.rename(wrapper)
    return wrapper


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in PACKAGES:
        sys.exit(f"one of these is needed: {', '.join(PACKAGES)}")
    try:
        print(find(sys.argv[1]))
    except NotFound as problem:
        sys.exit(str(problem))
