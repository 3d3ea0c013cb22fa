"""Kills Redis under load in each durability setting and counts what it had confirmed and then forgot.

    make durability                           or: python3 scripts/durability.py --kills 2

For each setting, in turn, round by round: a Redis, a gateway and a worker; first the throughput of a
closed loop, then kill -9 at a random moment while a writer adds numbered entries one by one and callers
ask the gateway; Redis is started again on the same data. Writes what it saw into docs/OPERATIONS.md; exit
code 1 if a caller got a wrong answer or none, or a setting lost what it may not. Standard library only,
Python 3.9 or newer.

A kill takes the process, not the machine: what the process has written is safe in the page cache, synced or
not. What a power failure takes cannot be seen this way.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Iterator, NamedTuple

import cargo
import document
import durability_report
import redis_server
from durability_report import Kill, Result
from processes import Child, StartError, answers_ping, wait_until
from resp import Connection
from stack import Stack, isolated

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "OPERATIONS.md"
ROUNDS = 3
CLOSED_LOOP = ["--mode", "concurrent", "--concurrency", "64"]
# Work that takes its time, in slots of which 40 are busy on average: at the moment of the kill some callers'
# requests are being worked on and some wait on the stream.
RATE = 200
WORK = {"SIMULATED_LATENCY": "100ms..300ms", "WORKER_CONCURRENCY": "42", "REQUEST_TIMEOUT": "5s"}
PATIENCE = "8s"
# When Redis is killed after the writer began; how long it is away; how long callers go on after that.
BEFORE, AWAY, AFTER = (3.0, 9.0), 1.0, 3.0
# A sync that takes this long is slow; how long one is waited for.
SLOW_SYNC, SYNC_PATIENCE = 0.05, 5.0
BODY = "x" * 200


class Setting(NamedTuple):
    name: str
    options: tuple[str, ...]
    may_lose: bool = True
    disk_is_busy: bool = False


SETTINGS = (
    Setting("nothing", ("--save", "", "--appendonly", "no")),
    Setting("RDB, `save 5 1`", ("--save", "5 1", "--appendonly", "no")),
    Setting("AOF, `everysec`", ("--save", "", "--appendonly", "yes", "--appendfsync", "everysec")),
    Setting("AOF, `everysec`, in a slow sync", ("--save", "", "--appendonly", "yes", "--appendfsync", "everysec"), disk_is_busy=True),
    Setting("AOF, `always`", ("--save", "", "--appendonly", "yes", "--appendfsync", "always"), may_lose=False),
)


class Server:
    """A Redis that is started again on what it left."""

    def __init__(self, port: int, folder: Path, setting: Setting) -> None:
        folder.mkdir()
        self.port = port
        self._command = [redis_server.find(), "--bind", "127.0.0.1", "--port", f"{port}", "--dir", str(folder)]
        self._command += [*setting.options, "--maxmemory-policy", "noeviction"]
        self._child: Child | None = None

    def start(self) -> None:
        self._child = child = Child("redis", self._command)

        def check() -> None:
            if child.exit_code is not None:
                raise StartError(child.obituary())

        wait_until(lambda: answers_ping(self.port), f"Redis on port {self.port}", check=check)

    def kill(self) -> float:
        """When it was killed, with any child that was saving for it."""
        at = time.monotonic()
        if self._child is not None:
            self._child.kill()
            self._child.process.wait()
        return at


class Writer(threading.Thread):
    """Adds numbered entries to a stream of its own, each when the one before is confirmed, until Redis is gone."""

    def __init__(self, port: int, stream: str) -> None:
        super().__init__(daemon=True)
        self._port, self._stream = port, stream
        # When each was confirmed, by its number.
        self.confirmed: list[float] = []

    def run(self) -> None:
        with contextlib.suppress(OSError), Connection(self._port) as redis:
            while True:
                redis.call("XADD", self._stream, "*", "n", len(self.confirmed), "body", BODY)
                self.confirmed.append(time.monotonic())


def main() -> int:
    options = _arguments()
    try:
        binaries = options.bin_dir or cargo.build(threading.Event(), ("ingress", "proxy", "loadtest"))
        with tempfile.TemporaryDirectory(dir=options.data) as data:
            results = measure(binaries, Path(data), options.kills, options.seconds)
    except (StartError, TimeoutError, OSError, redis_server.NotFound) as problem:
        print(f"durability run failed: {problem}")
        return 1
    table = durability_report.table(results)
    problems = durability_report.broken(results)
    print(f"\n{table}\n")
    for problem in problems:
        print(f"broken: {problem}")
    if options.write:
        document.put(DOCUMENT, "durability", table)
    return 1 if problems else 0


def measure(binaries: Path, data: Path, kills: int, seconds: int) -> list[Result]:
    """Settings take turns, so that whatever else this machine does meets them all."""
    results = [Result(setting.name, [], [], setting.may_lose) for setting in SETTINGS]
    for round_ in range(ROUNDS):
        for setting, result in zip(SETTINGS, results):
            folder = data / f"{round_}-{SETTINGS.index(setting)}"
            with disk(data, setting.disk_is_busy):
                with running(binaries, Path(f"{folder}-throughput"), setting, {}) as (stack, _):
                    result.throughput.append(throughput(stack, seconds))
                with running(binaries, Path(f"{folder}-kills"), setting, WORK) as (stack, server):
                    for number in range(round_, kills, ROUNDS):
                        result.kills.append(killed(stack, server, setting, f"durability-{number}"))
                        _say(setting, result)
    return results


def throughput(stack: Stack, seconds: int) -> float:
    """Right answers per second when there is always a caller."""
    _report(_load(stack, *CLOSED_LOOP, "--duration", "1s"))
    return _report(_load(stack, *CLOSED_LOOP, "--duration", f"{seconds}s"))["throughput_per_second"]


def killed(stack: Stack, server: Server, setting: Setting, stream: str) -> Kill:
    """One kill under load, and what it cost."""
    before = random.uniform(*BEFORE)
    longest = before + (SYNC_PATIENCE if setting.disk_is_busy else 0) + AWAY + AFTER
    duration = f"{1000 * longest:.0f}ms"
    load = _load(stack, "--mode", "rate", "--rate", f"{RATE}", "--duration", duration, "--timeout", PATIENCE)
    writer = Writer(server.port, stream)
    writer.start()
    time.sleep(before)
    if setting.disk_is_busy:
        wait_for_slow_sync(server.port)
    at = server.kill()
    writer.join()
    time.sleep(AWAY)
    server.start()
    loss = durability_report.count(writer.confirmed, _numbers(server.port, stream), at)
    report = _report(load)
    ended = stack.ended()
    if ended is not None:
        raise StartError(ended.obituary())
    return Kill(len(writer.confirmed), loss, report)


def wait_for_slow_sync(port: int) -> None:
    """Until a sync is under way and does not end soon, or for as long as is worth it."""
    patience = time.monotonic() + SYNC_PATIENCE
    began = None
    with Connection(port) as redis:
        while time.monotonic() < patience:
            if b"aof_pending_bio_fsync:1" not in redis.call("INFO", "persistence"):
                began = None
            elif began is None:
                began = time.monotonic()
            elif time.monotonic() - began > SLOW_SYNC:
                return
            time.sleep(0.005)


@contextlib.contextmanager
def running(binaries: Path, data: Path, setting: Setting, env: dict[str, str]) -> Iterator[tuple[Stack, Server]]:
    """One Redis on an empty folder, one gateway and one worker; no trace of them afterwards."""
    own = isolated(binaries, data).env
    server = Server(int(own["REDIS_PORT"]), data, setting)
    stack = Stack({**own, **env, "WEATHER_PROVIDER": "simulated", "RUST_LOG": "off"}, binaries, data)
    try:
        server.start()
        stack.start()
        yield stack, server
    finally:
        stack.stop()
        server.kill()


@contextlib.contextmanager
def disk(folder: Path, is_busy: bool) -> Iterator[None]:
    """Somebody else writes a lot to the same disk and has it synced, all the time, if it is busy."""
    over = threading.Event()
    block = os.urandom(8 << 20)

    def write() -> None:
        with open(folder / "ballast", "wb", buffering=0) as file:
            while not over.is_set():
                # New blocks each time: a journal that syncs the append-only file must write these first.
                file.truncate(0)
                file.seek(0)
                for _ in range(32):
                    file.write(block)
                os.fsync(file.fileno())

    thread = threading.Thread(target=write, daemon=True)
    if is_busy:
        thread.start()
    try:
        yield
    finally:
        over.set()
        if is_busy:
            thread.join()


def _numbers(port: int, stream: str) -> set[int]:
    """The numbers of the entries that are there."""
    numbers: set[int] = set()
    start = "-"
    with Connection(port, timeout=30) as redis:
        while True:
            entries = redis.call("XRANGE", stream, start, "+", "COUNT", 5000)
            if not entries:
                return numbers
            numbers.update(int(fields[1]) for _, fields in entries)
            start = f"({entries[-1][0].decode()}"


def _load(stack: Stack, *arguments: str) -> subprocess.Popen[str]:
    url = stack.url("INGRESS_LISTEN")
    command = [str(stack.binaries / "loadtest"), "--url", url, "--output", "json", "--max-error-rate", "1", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def _report(load: subprocess.Popen[str]) -> dict:
    output, _ = load.communicate()
    if load.returncode != 0:
        raise StartError(f"loadtest ended with exit code {load.returncode}:\n{output}")
    return json.loads(output)


def _say(setting: Setting, result: Result) -> None:
    kill = result.kills[-1]
    failures = ", ".join(f"{failure['count']} {failure['kind']}" for failure in kill.report["failures"])
    loss = f"{kill.loss.entries} of {kill.confirmed} lost, the oldest {kill.loss.oldest_ms:.0f} ms before"
    print(f"{setting.name}: {loss}; callers: {kill.report['succeeded']} right, {failures or 'no failures'}", flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin-dir", type=Path, help="take ingress, proxy and loadtest from here instead of building")
    parser.add_argument("--kills", type=int, default=9, help="kills per setting")
    parser.add_argument("--seconds", type=int, default=4, help="length of each closed loop")
    parser.add_argument("--data", type=Path, help="a folder on the disk to measure; the temporary folder if not given")
    parser.add_argument("--no-write", dest="write", action="store_false", help="leave docs/OPERATIONS.md alone")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
