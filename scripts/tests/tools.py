"""Tools that tests need and a machine may not have: got if they can be got, said loudly if not."""

from __future__ import annotations

import functools
import importlib
import json
import subprocess
import sys
import unittest
from pathlib import Path
from types import ModuleType

SCRIPTS = Path(__file__).resolve().parent.parent
ROOT = SCRIPTS.parent
sys.path.insert(0, str(SCRIPTS))

import cargo  # noqa: E402
import kubectl as kubectl_script  # noqa: E402
import python_venv  # noqa: E402


def packages(*names: str) -> Path:
    """The folder of the programs of `.venv`, with these packages in it."""
    try:
        folder = python_venv.ensure(*names).parent
    except python_venv.Unavailable as problem:
        missing(f"no {', '.join(names)}: {str(problem).splitlines()[-1]}")
    site = str(python_venv.site_packages())
    if site not in sys.path:
        sys.path.append(site)
    importlib.invalidate_caches()
    return folder


def yaml() -> ModuleType:
    """PyYAML."""
    packages("PyYAML")
    return importlib.import_module("yaml")


@functools.lru_cache(maxsize=None)
def kubectl() -> Path:
    """A kubectl that can render; it needs no cluster for that."""
    try:
        return kubectl_script.find()
    except (kubectl_script.NotFound, python_venv.Unavailable) as problem:
        missing(str(problem).splitlines()[0])


def run(*command: str | Path, **options: object) -> str:
    """What a command prints; its failure fails the test with all of its words."""
    done = subprocess.run(
        [str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options
    )
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout}")
    return done.stdout


def stack(test: unittest.TestCase, **settings: str) -> dict[str, str]:
    """The environment of a command of `stack run`, whose stack is up until the test is over."""
    hold = "import json, os, sys; print(json.dumps(dict(os.environ)), flush=True); sys.stdin.read()"
    command = [str(cargo.binaries("debug") / "stack"), "run", *(f"{name}={value}" for name, value in settings.items())]
    process = subprocess.Popen(
        [*command, "--", sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    test.addCleanup(process.communicate)
    said = process.stdout.readline()
    return json.loads(said) if said.startswith("{") else test.fail(f"there is no stack: {said}")


def missing(reason: str) -> None:
    """Skips the test where anybody sees it."""
    print(f"\nSKIPPED, A TOOL IS MISSING: {reason}", file=sys.stderr, flush=True)
    raise unittest.SkipTest(reason)
