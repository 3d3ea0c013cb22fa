"""Offers more load than the workers can do and checks that the gateway stays useful.

    make overload                             or: python3 scripts/overload.py --seconds 5

Starts a Redis, a gateway and two workers whose work is sleeping, finds out their capacity in a closed
loop, then offers 1, 2, 5 and 10 times as much in an open loop, a burst out of silence, and a light
load right after a heavy one. Writes what it saw into docs/PERFORMANCE.md; exit code 1 if a bound is
missed. Standard library only, Python 3.9 or newer, Linux.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
from pathlib import Path

import cargo
import document
import overload_report
from overload_deployment import LATENCY, SLOTS, WORKERS, Deployment, wait
from overload_report import Run
from processes import StartError

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / "docs" / "PERFORMANCE.md"
LOADS = (1, 2, 5, 10)
OVERLOAD_BEFORE_RECOVERY = 10
SILENCE = 3


def main() -> int:
    options = _arguments()
    try:
        binaries = options.bin_dir or cargo.build(threading.Event(), ("ingress", "proxy", "loadtest"))
        with tempfile.TemporaryDirectory() as data:
            deployment = Deployment(binaries, Path(data))
            try:
                deployment.start()
                capacity = closed_loop(deployment, options.seconds)
                steady = [open_loop(deployment, capacity, times, options.seconds) for times in LOADS]
                burst = burst_out_of_silence(deployment, capacity)
                recovery = light_after_heavy(deployment, capacity)
            finally:
                deployment.stop()
    except (StartError, OSError) as problem:
        print(f"overload run failed: {problem}")
        return 1
    table = overload_report.table(steady, burst, recovery, capacity)
    problems = overload_report.missed(steady, burst, recovery, capacity)
    print(f"\n{table}\n")
    for problem in problems:
        print(f"missed: {problem}")
    if options.json:
        runs = [run._asdict() for run in (*steady, burst, recovery)]
        options.json.write_text(json.dumps({"capacity": capacity, "runs": runs}, indent=2))
    if options.write:
        document.put(DOCUMENT, "overload", table)
        print(f"written to {DOCUMENT.relative_to(ROOT)}")
    return 1 if problems else 0


def closed_loop(deployment: Deployment, seconds: float) -> float:
    """Answers per second when there is always work, but never much."""
    callers = 2 * WORKERS * SLOTS
    load = ["--mode", "concurrent", "--concurrency", f"{callers}"]
    # The first seconds warm connections and estimates up.
    deployment.result(deployment.load(*load, "--duration", "2s"))
    report = deployment.result(deployment.load(*load, "--duration", f"{seconds}s"))
    if report["failed"]:
        raise StartError(f"the closed loop had failures: {report['failures']}")
    capacity = report["throughput_per_second"]
    print(f"capacity: {capacity:.0f} answers a second from {WORKERS} × {SLOTS} slots of {LATENCY}")
    return capacity


def open_loop(deployment: Deployment, capacity: float, times: float, seconds: float, name: str = "") -> Run:
    """So many times the capacity, from an idle deployment."""
    deployment.drain()
    before = deployment.admitted()
    with deployment.measured() as peak:
        report = deployment.result(_at(deployment, capacity * times, seconds))
    return _seen(Run(name or f"{times:g} ×", times, report, peak[0], deployment.admitted() - before))


def burst_out_of_silence(deployment: Deployment, capacity: float) -> Run:
    """What the gateway knows of its workers is old by then."""
    deployment.drain()
    wait(SILENCE)
    return open_loop(deployment, capacity, 10, 5, "10 × at once after silence, 5 s")


def light_after_heavy(deployment: Deployment, capacity: float) -> Run:
    """How long after an overload requests still fail."""
    deployment.drain()
    with deployment.measured() as peak:
        heavy = _at(deployment, capacity * 10, OVERLOAD_BEFORE_RECOVERY)
        wait(OVERLOAD_BEFORE_RECOVERY)
        light = _at(deployment, capacity * 0.5, 10)
        deployment.result(heavy)
        report = deployment.result(light)
    return _seen(Run("0.5 × right after 10 s of 10 ×", 0.5, report, peak[0]))


def _at(deployment: Deployment, rate: float, seconds: float):
    return deployment.load("--mode", "rate", "--rate", f"{rate:.1f}", "--duration", f"{seconds}s")


def _seen(run: Run) -> Run:
    report = run.report
    failures = ", ".join(f"{failure['count']} {failure['kind']}" for failure in report["failures"]) or "no failures"
    in_time = report["goodput"]["in_time"]
    print(f"{run.name}: {in_time} of {report['requests']} in time ({run.goodput:.0f} a second); {failures}", flush=True)
    return run


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin-dir", type=Path, help="take ingress, proxy and loadtest from here instead of building")
    parser.add_argument("--seconds", type=int, default=15, help="length of each load")
    parser.add_argument("--json", type=Path, help="write the reports of all loads here, too")
    parser.add_argument("--no-write", dest="write", action="store_false", help="leave docs/PERFORMANCE.md alone")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
