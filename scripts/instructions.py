"""Counts the instructions of each step of the hot path, with Valgrind's callgrind.

    make instructions                         needs valgrind (Debian: apt install valgrind)

Each step runs 1,000 and 3,000 times; the difference, divided by 2,000, is one of it, without the start of
the process. The counts are the same on every run of a binary, whatever else the machine does. Writes into
docs/PERFORMANCE.md. Standard library only, Python 3.9 or newer.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import document

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / "docs" / "PERFORMANCE.md"
STEPS = {
    "encode_request": "a request: XADD, packed",
    "decode_requests": "32 requests: RESP, entry, envelope",
    "encode_replies": "32 replies of 600 bytes: one XADD, packed",
    "decode_replies": "32 replies of 600 bytes: RESP, one entry, envelopes",
    "wait_and_complete": "a caller's place, its reply, its deadline swept",
    "validate": "a body of the weather example: read, checked",
    "mint_id": "a correlation id and its text",
}
FEW, MANY = 1_000, 3_000


def main() -> int:
    if shutil.which("valgrind") is None:
        print("no valgrind on PATH; on Debian: apt install valgrind")
        return 1
    binary = build()
    table = ["| step | instructions |", "| --- | ---: |"]
    for step, what in STEPS.items():
        one = (count(binary, step, MANY) - count(binary, step, FEW)) / (MANY - FEW)
        table.append(f"| {what} | {one:,.0f} |")
        print(f"{step:20} {one:10,.0f}")
    document.put(DOCUMENT, "instructions", "\n".join(table))
    return 0


def build() -> Path:
    """The benchmark's binary, as cargo names it."""
    cargo = os.environ.get("CARGO", "cargo")
    command = [cargo, "bench", "--locked", "-p", "bench", "--bench", "hot_path", "--no-run", "--message-format", "json"]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(done.returncode)
    messages = (json.loads(line) for line in done.stdout.splitlines() if line.startswith("{"))
    found = [m["executable"] for m in messages if m.get("target", {}).get("name") == "hot_path" and m.get("executable")]
    return Path(found[-1])


def count(binary: Path, step: str, times: int) -> int:
    """Instructions of a process that runs one step so often."""
    with tempfile.TemporaryDirectory() as folder:
        tool = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={folder}/out"]
        done = subprocess.run([*tool, str(binary), "--count", step, str(times)], capture_output=True, text=True)
    found = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode != 0 or found is None:
        sys.exit(f"callgrind failed on {step}:\n{done.stderr}")
    return int(found[1])


if __name__ == "__main__":
    sys.exit(main())
