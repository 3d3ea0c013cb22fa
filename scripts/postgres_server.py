"""Finds the programs of a PostgreSQL server on this machine, or gets them without root.

    python3 scripts/postgres_server.py        prints the folder with `initdb` and `postgres`

In this order: the folder that STREAMGATE_TEST_POSTGRES names; `initdb` and `postgres` on PATH; Debian's folders of
versions; Debian's packages, unpacked into `.tools`: nothing is configured and no server starts by itself.
Several processes may ask at once. Standard library only, Python 3.9 or newer.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import debian

PROGRAMS = ("initdb", "postgres")
VERSIONS = Path("/usr/lib/postgresql")

ADVICE = """\
no PostgreSQL server found, and none could be installed. Install one:
  Debian, Ubuntu   apt install postgresql
  macOS            brew install postgresql
  Fedora           dnf install postgresql-server
or name the folder of its programs: STREAMGATE_TEST_POSTGRES=/path/to/bin"""


class NotFound(Exception):
    """There is no server; the text says how to get one."""


def find() -> Path:
    """The folder with the programs of a server."""
    chosen = os.environ.get("STREAMGATE_TEST_POSTGRES")
    if chosen:
        if not _has_programs(Path(chosen)):
            raise NotFound(f"STREAMGATE_TEST_POSTGRES={chosen} has no {' and '.join(PROGRAMS)}")
        return Path(chosen).absolute()
    on_path = [shutil.which(name) for name in PROGRAMS]
    if all(on_path):
        # A server finds its files beside its program, so a link must be followed.
        folders = {Path(program).resolve().parent for program in on_path}
        if len(folders) == 1:
            return folders.pop()
    return _newest(VERSIONS) or _packaged()


def _has_programs(folder: Path) -> bool:
    return all(os.access(folder / name, os.X_OK) for name in PROGRAMS)


def _newest(versions: Path) -> Path | None:
    """Debian keeps each version in a folder of its own: `15/bin`."""
    found = [folder for folder in versions.glob("*/bin") if _has_programs(folder)]
    return max(found, key=lambda folder: [int(part) for part in re.findall(r"\d+", folder.parent.name)], default=None)


def _packaged() -> Path:
    """Debian's packages: the server of the default version, and the libraries that it needs."""
    try:
        server = next(filter(re.compile(r"postgresql-\d+$").match, _depends("postgresql")), None)
        if server is None:
            raise debian.Unavailable("there is no package of a PostgreSQL server")
        version = server.rpartition("-")[2]
        # Not the C library, which is here, nor the compiler for queries, which is large and may be missing.
        libraries = {name for name in (*_depends(server), *_depends("libpq5")) if name.startswith("lib")}
        wanted = sorted(name for name in libraries | {"libpq5"} if not re.match(r"libc6|libllvm|libgcc|libstdc", name))
        programs = [f"usr/lib/postgresql/{version}/bin/{name}" for name in PROGRAMS]
        folder = debian.unpacked("postgresql", [server, *wanted], programs)
    except debian.Unavailable as problem:
        raise NotFound(f"{problem}\n\n{ADVICE}") from None
    return folder / f"usr/lib/postgresql/{version}/bin"


def _depends(package: str) -> list[str]:
    """The packages that a package needs."""
    if not shutil.which("apt-cache"):
        raise debian.Unavailable("there is no apt-cache here")
    ask = ["apt-cache", "depends", "--no-recommends", "--no-suggests", package]
    answer = _run(ask)
    if answer.returncode != 0 and os.geteuid() == 0:
        # A fresh machine has no list of packages, and only root can get one.
        _run(["apt-get", "update"])
        answer = _run(ask)
    if answer.returncode != 0:
        raise debian.Unavailable(f"{' '.join(ask)} failed:\n{answer.stdout.strip()}")
    return re.findall(r"^\s*Depends: ([^<\s]+)", answer.stdout, re.MULTILINE)


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


if __name__ == "__main__":
    try:
        print(find())
    except NotFound as problem:
        sys.exit(str(problem))
