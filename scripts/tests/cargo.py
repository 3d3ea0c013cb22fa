"""Where cargo puts what it builds."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


def binaries(profile: str) -> Path:
    """The folder that holds what was built with a profile: `release`, `debug` or `up`."""
    command = ["cargo", "metadata", "--locked", "--no-deps", "--format-version", "1"]
    return Path(json.loads(subprocess.check_output(command, cwd=ROOT))["target_directory"]) / profile
