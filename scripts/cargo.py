"""Building the binaries, and where they are then.

Standard library only, Python 3.9 or newer.
"""

from __future__ import annotations

import json
import subprocess
import threading
import time
from pathlib import Path
from typing import Callable, Sequence

from processes import Interrupted, StartError

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


def build(
    stop: threading.Event,
    packages: Sequence[str] = ("ingress", "proxy"),
    profile: str = "release",
    say: Callable[[str], None] = lambda _: None,
    every: float = 30,
) -> Path:
    """Builds packages for use and says every so many seconds that it goes on; the folder their binaries are in."""
    folder = binaries(profile)
    chosen = [argument for package in packages for argument in ("-p", package)]
    cargo = subprocess.Popen(["cargo", "build", "--locked", "--profile", profile, *chosen], cwd=ROOT)
    start = said = time.monotonic()
    while cargo.poll() is None:
        if stop.wait(0.1):
            cargo.terminate()
            cargo.wait()
        elif time.monotonic() - said >= every:
            said = time.monotonic()
            say(f"still building, for {said - start:.0f} s now")
    if stop.is_set():
        raise Interrupted("the build was stopped; run it again: it goes on where it stopped")
    if cargo.returncode != 0:
        raise StartError(f"cargo build failed with exit code {cargo.returncode}")
    return folder
