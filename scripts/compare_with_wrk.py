"""Sends the same closed loop with loadtest and with wrk and compares what they report.

    cargo build --release -p ingress -p proxy -p loadtest -p stack
    target/release/stack run SIMULATED_LATENCY=20ms..60ms -- python3 scripts/compare_with_wrk.py

Needs wrk (Debian: apt install wrk). The work sleeps 20 to 60 ms, so the gateway is far below half of what it can do.
Writes into docs/PERFORMANCE.md; exit code 1 if throughput, p50 or p99 differ by more than 10 %. Standard library
only, Python 3.9 or newer.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import document

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "PERFORMANCE.md"
CONNECTIONS = 20
ROUNDS = 3
ALLOWED = 0.10
MILLISECONDS = {"us": 0.001, "ms": 1.0, "s": 1000.0}
MEASURES = ("answers a second", "p50 in ms", "p99 in ms")
SCRIPT = """\
wrk.method = "POST"
wrk.headers["content-type"] = "application/json"
wrk.body = '{"city":"New York","location":"Downtown"}'
"""


class Failed(Exception):
    """A program did not do what it was told."""


def main() -> int:
    options = _arguments()
    if shutil.which("wrk") is None:
        print("no wrk on PATH; on Debian: apt install wrk")
        return 1
    try:
        binaries, url, seconds = Path(os.environ["STACK_BINARIES"]), os.environ["INGRESS_URL"], options.seconds
        with tempfile.TemporaryDirectory() as folder:
            loadtest(binaries, url, 2)  # Warms everything up.
            # In turn, so that whatever else this machine does meets both.
            rounds = [(loadtest(binaries, url, seconds), wrk(folder, url, seconds)) for _ in range(ROUNDS)]
    except (Failed, OSError) as problem:
        print(f"comparison failed: {problem}")
        return 1
    ours = [statistics.median(values) for values in zip(*(ours for ours, _ in rounds))]
    theirs = [statistics.median(values) for values in zip(*(theirs for _, theirs in rounds))]
    table = ["| | loadtest | wrk | difference |", "| --- | ---: | ---: | ---: |"]
    table += [f"| {name} | {a:.1f} | {b:.1f} | {a / b - 1:+.1%} |" for name, a, b in zip(MEASURES, ours, theirs)]
    print("\n".join(table))
    document.put(DOCUMENT, "wrk", "\n".join(table))
    return 1 if any(abs(a / b - 1) > ALLOWED for a, b in zip(ours, theirs)) else 0


def loadtest(binaries: Path, url: str, seconds: int) -> list[float]:
    """What loadtest reports of the load, in the order of MEASURES."""
    load = ["--concurrency", f"{CONNECTIONS}", "--duration", f"{seconds}s", "--output", "json"]
    report = json.loads(_output([str(binaries / "loadtest"), "--url", url, *load]))
    return [report["throughput_per_second"], report["latency_ms"]["p50"], report["latency_ms"]["p99"]]


def wrk(folder: str, url: str, seconds: int) -> list[float]:
    """What wrk reports of the same load."""
    script = Path(folder) / "post.lua"
    script.write_text(SCRIPT)
    load = ["-t", "1", "-c", f"{CONNECTIONS}", "-d", f"{seconds}s", "--latency", "-s", str(script)]
    output = _output(["wrk", *load, f"{url}/WeatherForecast/city"])
    if "Non-2xx" in output:
        raise Failed(f"wrk saw failures:\n{output}")

    def percentile(name: str) -> float:
        number, unit = re.search(rf"^\s+{name}%\s+([\d.]+)(us|ms|s)$", output, re.M).groups()
        return float(number) * MILLISECONDS[unit]

    return [float(re.search(r"Requests/sec:\s+([\d.]+)", output)[1]), percentile("50"), percentile("99")]


def _output(command: list[str]) -> str:
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise Failed(f"{command[0]} ended with exit code {done.returncode}:\n{done.stdout}")
    return done.stdout


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=10, help="length of each load")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
