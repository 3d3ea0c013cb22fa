"""Gets programs out of Debian's packages without root: downloaded by apt, unpacked into `.tools`.

Nothing is configured and nothing starts by itself. Several processes may ask at once. Standard library
only, Python 3.9 or newer.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Sequence

ROOT = Path(__file__).resolve().parent.parent
# Of one call of apt; packages are up to 20 MB.
PATIENCE = 90


class Unavailable(Exception):
    """The packages cannot be had; the text says why."""


def unpacked(name: str, packages: Sequence[str], programs: Sequence[str], tools: Path = ROOT / ".tools") -> Path:
    """A folder with the contents of the packages, among them the programs (paths below it)."""
    folder = tools / name
    tools.mkdir(parents=True, exist_ok=True)
    with (tools / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _has(folder, programs):
            _download(folder, packages, programs)
    return folder


def _has(folder: Path, programs: Sequence[str]) -> bool:
    return all(os.access(folder / program, os.X_OK) for program in programs)


def _download(folder: Path, packages: Sequence[str], programs: Sequence[str]) -> None:
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise Unavailable("there is no apt-get here")
    print(f"downloading Debian's {', '.join(packages)} into {folder}", file=sys.stderr)
    with tempfile.TemporaryDirectory(dir=folder.parent) as name:
        work = Path(name)
        download = ["apt-get", "download", *packages]
        problem = _run(download, work)
        if problem and os.geteuid() == 0:
            # A fresh machine has no list of packages, and only root can get one.
            problem = _run(["apt-get", "update"], work) or _run(download, work)
        for package in () if problem else sorted(work.glob("*.deb")):
            problem = problem or _run(["dpkg-deb", "--extract", package.name, "unpacked"], work)
        if problem or not _has(work / "unpacked", programs):
            raise Unavailable(problem or "the packages hold no such programs")
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
