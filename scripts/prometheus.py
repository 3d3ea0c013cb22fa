"""Finds Prometheus and its promtool on this machine, or gets Debian's without root.

    python3 scripts/prometheus.py             prints the folder that holds both

In this order: PATH; Debian's package, unpacked into `.tools`. Several processes may ask at once.
Standard library only, Python 3.9 or newer.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import debian

PROGRAMS = ("prometheus", "promtool")

ADVICE = """\
no prometheus and promtool on PATH, and none could be downloaded. Install them:
  Debian, Ubuntu   apt install prometheus (and, where nobody should scrape: systemctl disable --now prometheus)
  macOS            brew install prometheus
  elsewhere        https://prometheus.io/download"""


class NotFound(Exception):
    """There is no Prometheus; the text says how to get one."""


def find(tools: Path = debian.ROOT / ".tools") -> Path:
    """The folder with `prometheus` and `promtool`."""
    found = shutil.which("prometheus")
    if found and shutil.which("promtool", path=str(Path(found).parent)):
        return Path(found).parent.absolute()
    programs = [f"usr/bin/{program}" for program in PROGRAMS]
    try:
        return debian.unpacked("prometheus", ["prometheus"], programs, tools) / "usr" / "bin"
    except debian.Unavailable as problem:
        raise NotFound(f"{problem}\n\n{ADVICE}") from None


if __name__ == "__main__":
    try:
        print(find())
    except NotFound as problem:
        sys.exit(str(problem))
