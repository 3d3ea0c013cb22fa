"""Finds Prometheus and its promtool on this machine, or gets Debian's without root.

    python3 scripts/prometheus.py             prints the folder that holds both

In this order: PATH; Debian's package, downloaded by apt and unpacked into `.tools`, where nothing starts by
itself. Several processes may ask at once. Standard library only, Python 3.9 or newer.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROGRAMS = ("prometheus", "promtool")
# Of one call of apt; a package of 20 MB.
PATIENCE = 90

ADVICE = """\
no prometheus and promtool on PATH, and none could be downloaded. Install them:
  Debian, Ubuntu   apt install prometheus (and, where nobody should scrape: systemctl disable --now prometheus)
  macOS            brew install prometheus
  elsewhere        https://prometheus.io/download"""


class NotFound(Exception):
    """There is no Prometheus; the text says how to get one."""


def find(tools: Path = ROOT / ".tools") -> Path:
    """The folder with `prometheus` and `promtool`."""
    found = shutil.which("prometheus")
    if found and shutil.which("promtool", path=str(Path(found).parent)):
        return Path(found).parent.absolute()
    folder = tools / "prometheus"
    tools.mkdir(parents=True, exist_ok=True)
    with (tools / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _is_complete(folder):
            _download(folder)
    return folder / "usr" / "bin"


def _is_complete(folder: Path) -> bool:
    return all(os.access(folder / "usr" / "bin" / program, os.X_OK) for program in PROGRAMS)


def _download(folder: Path) -> None:
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise NotFound(ADVICE)
    print(f"downloading Debian's prometheus into {folder}", file=sys.stderr)
    with tempfile.TemporaryDirectory(dir=folder.parent) as name:
        work = Path(name)
        problem = _run(["apt-get", "download", "prometheus"], work)
        if problem and os.geteuid() == 0:
            # A fresh machine has no list of packages, and only root can get one.
            problem = _run(["apt-get", "update"], work) or _run(["apt-get", "download", "prometheus"], work)
        package = next(work.glob("prometheus_*.deb"), None)
        if not problem and package:
            problem = _run(["dpkg-deb", "--extract", package.name, "unpacked"], work)
        if problem or not _is_complete(work / "unpacked"):
            raise NotFound(f"{problem or 'the package holds no programs'}\n\n{ADVICE}")
        shutil.rmtree(folder, ignore_errors=True)
        (work / "unpacked").rename(folder)


def _run(command: list[str], folder: Path) -> str | None:
    """What went wrong, if anything did."""
    try:
        done = subprocess.run(
            command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=PATIENCE
        )
    except subprocess.TimeoutExpired:
        return f"{' '.join(command)} did not end within {PATIENCE} s"
    return None if done.returncode == 0 else f"{' '.join(command)} failed:\n{done.stdout.strip()}"


if __name__ == "__main__":
    try:
        print(find())
    except NotFound as problem:
        sys.exit(str(problem))
