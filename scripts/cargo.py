"""Building the binaries, and where they are then.

Standard library only, Python 3.9 or newer.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Sequence

from processes import StartError

ROOT = Path(__file__).resolve().parent.parent


def binaries(profile: str) -> Path:
    """The folder that holds what was built with a profile: `release`, `debug` or `up`."""
    command = ["cargo", "metadata", "--locked", "--no-deps", "--format-version", "1"]
    try:
        return Path(json.loads(subprocess.check_output(command, cwd=ROOT))["target_directory"]) / profile
    except FileNotFoundError:
        raise StartError("cargo is not on PATH: install Rust from https://rustup.rs") from None
    except subprocess.CalledProcessError as problem:
        raise StartError(f"cargo metadata failed with exit code {problem.returncode}") from None


def build(_stop: object, packages: Sequence[str]) -> Path:
    """Builds packages for use; the folder their binaries are in."""
    chosen = [argument for package in packages for argument in ("-p", package)]
    built = subprocess.run(["cargo", "build", "--locked", "--profile", "release", *chosen], cwd=ROOT)
    if built.returncode != 0:
        raise StartError(f"cargo build failed with exit code {built.returncode}")
    return binaries("release")
