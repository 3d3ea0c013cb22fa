"""A Python environment of the project's own, in `.venv`, with the pinned packages asked for.

    python3 scripts/python_venv.py redis      prints the path of an interpreter that has redis-py

Nothing is installed twice, and several processes may ask at once. Standard library only, Python
3.9 or newer.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from typing import Iterator

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
REQUIREMENTS = ROOT / "scripts" / "requirements.txt"


# Their metadata asks for versions that other packages here cannot use; what they import is named by whoever asks for them.
ALONE = {"httpbin"}


class Unavailable(Exception):
    """What was asked for cannot be had; the text says what to do about it."""


def ensure(*packages: str) -> Path:
    """The interpreter of `.venv`, with `packages` installed at the pinned versions."""
    with _lock():
        python = VENV / "bin" / "python"
        if not _works(python):
            _create()
        pins = pinned()
        missing = [f"{name}=={pins[name]}" for name in packages if not _installed(name, pins[name])]
        if missing:
            _install(python, missing)
        return python


def pinned() -> dict[str, str]:
    """The versions in requirements.txt by package name."""
    return dict(re.findall(r"^([\w.-]+)==([\w.]+)", REQUIREMENTS.read_text(), re.MULTILINE))


def site_packages() -> Path | None:
    """Where packages are installed, if the environment exists."""
    return next(iter(sorted(VENV.glob("lib/python*/site-packages"))), None)


def _installed(name: str, version: str) -> bool:
    """A package's metadata folder is the last thing pip writes, and costs no process to look at."""
    folder = site_packages()
    if folder is None:
        return False
    # A wheel may spell its name in other letters than its project does: PyYAML, pyyaml.
    found = (path.parent for path in folder.glob(f"*-{version}.dist-info/RECORD"))
    return any(_spelled(path.name[: -len(f"-{version}.dist-info")]) == _spelled(name) for path in found)


def _spelled(name: str) -> str:
    """A project's name without the differences that do not count (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _works(python: Path) -> bool:
    """False too when the interpreter behind it was upgraded away, or pip never got there."""
    if not python.exists():
        return False
    check = [str(python), "-c", "import pip"]
    return subprocess.run(check, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0


def _create() -> None:
    if importlib.util.find_spec("venv") is None or importlib.util.find_spec("ensurepip") is None:
        raise Unavailable(
            "this Python cannot create virtual environments; on Debian and Ubuntu: apt install python3-venv"
        )
    _run([sys.executable, "-m", "venv", "--clear", str(VENV)], "creating .venv")


def _install(python: Path, requirements: list[str]) -> None:
    print(f"installing {', '.join(requirements)} into .venv", file=sys.stderr)
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    alone = [it for it in requirements if it.split("==")[0] in ALONE]
    others = [it for it in requirements if it not in alone]
    if others:
        _run([*command, "--constraint", str(REQUIREMENTS), *others], "pip install")
    if alone:
        _run([*command, "--no-deps", *alone], "pip install")


def _run(command: list[str], what: str) -> None:
    """Standard output of these commands would mix with ours, which is the answer."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        raise Unavailable(f"{what} failed:\n{done.stdout.strip()}")


@contextlib.contextmanager
def _lock() -> Iterator[None]:
    """One process at a time; the kernel frees the lock when its holder dies."""
    path = ROOT / ".data" / "venv.lock"
    path.parent.mkdir(exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    try:
        print(ensure(*sys.argv[1:]))
    except Unavailable as problem:
        sys.exit(str(problem))
    except KeyError as name:
        sys.exit(f"{name} is not in {REQUIREMENTS.relative_to(ROOT)}")
