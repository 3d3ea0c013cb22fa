"""A deployment whose capacity is known and far below what the machine can do, and what it costs.

Standard library only, Python 3.9 or newer.
"""

from __future__ import annotations

import contextlib
import json
import resource
import socket
import subprocess
import threading
import time
import urllib.request
from pathlib import Path
from typing import Iterator, NamedTuple

from ports import free_port
from processes import Child, StartError, wait_until
from stack import isolated

WORKERS = 2
SLOTS = 6
# 40 ms of work on average in 12 slots: 300 answers a second, done by sleeping.
LATENCY = "20ms..60ms"
DEADLINE = 2.0
SETTINGS = {
    "REQUEST_TIMEOUT": f"{DEADLINE:g}s",
    "WORKER_CONCURRENCY": f"{SLOTS}",
    "SIMULATED_LATENCY": LATENCY,
    "WEATHER_PROVIDER": "simulated",
    # So that memory measures what waits, not the past that is kept on purpose.
    "RETENTION_ENTRIES": "10000",
    "RUST_LOG": "warn",
}
# Longer than the deadline: the gateway's own 504 is to be seen.
PATIENCE = "4s"
OPEN_FILES = 20_000


class Memory(NamedTuple):
    """The most that each took, in bytes; of several workers, the largest."""

    ingress: int
    proxy: int
    redis: int


class Deployment:
    """One Redis, one gateway and two workers of this machine's own, and the load on them."""

    def __init__(self, binaries: Path, data: Path) -> None:
        _raise_open_files()
        self._binaries = binaries
        self._stack = isolated(binaries, data)
        self._stack.env.update(SETTINGS)

    def start(self) -> None:
        self._stack.start()
        for _ in range(WORKERS - 1):
            listen = f"127.0.0.1:{free_port()}"
            worker = Child("proxy", [self._binaries / "proxy"], {**self._stack.env, "PROXY_LISTEN": listen}, 35)
            # Before the gateway, so that it stops after it.
            self._stack.children.insert(-1, worker)
            wait_until(lambda: _answers(f"http://{listen}/readyz"), "the second worker", check=self.check)

    def stop(self) -> None:
        self._stack.stop()

    def check(self) -> None:
        """Raises if a process is gone: none may die of overload."""
        ended = self._stack.ended()
        if ended is not None:
            raise StartError(ended.obituary())

    def load(self, *arguments: str) -> subprocess.Popen[str]:
        """Load on the gateway; `result` waits for it."""
        url = self._stack.url("INGRESS_LISTEN")
        common = ["--url", url, "--timeout", PATIENCE, "--deadline", f"{DEADLINE:g}s", "--output", "json"]
        command = [str(self._binaries / "loadtest"), *common, "--max-error-rate", "1", *arguments]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def result(self, load: subprocess.Popen[str]) -> dict:
        """What the load generator reports, as it prints it."""
        output, _ = load.communicate()
        self.check()
        if load.returncode != 0:
            raise StartError(f"loadtest ended with exit code {load.returncode}")
        return json.loads(output)

    def drain(self) -> None:
        """Waits until nothing is left of the load before."""
        wait_until(self._is_idle, "an empty stream", 30, self.check)

    def admitted(self) -> int:
        """How many requests were ever put on the stream. Who got 503 after that was not refused, but dropped."""
        return int(_after(int(self._stack.env["REDIS_PORT"]), "XINFO STREAM weather-requests", b"entries-added"))

    @contextlib.contextmanager
    def measured(self) -> Iterator[list[Memory]]:
        """Samples memory; the list holds the peak when the block is over."""
        peak: list[Memory] = []
        over = threading.Event()

        def sample() -> None:
            while True:
                now = self._memory()
                peak[:] = [Memory(*map(max, now, peak[0])) if peak else now]
                if over.wait(0.2):
                    return

        thread = threading.Thread(target=sample, daemon=True)
        thread.start()
        try:
            yield peak
        finally:
            over.set()
            thread.join()

    def _is_idle(self) -> bool:
        with urllib.request.urlopen(f"{self._stack.url('PROXY_LISTEN')}/streams/weather-requests", timeout=5) as answer:
            groups = json.load(answer)["groups"]
        return all(group["oldestAgeSeconds"] == 0 for group in groups)

    def _memory(self) -> Memory:
        def largest(name: str) -> int:
            return max(_resident(child.process.pid) for child in self._stack.children if child.name == name)

        return Memory(largest("ingress"), largest("proxy"), _used_memory(int(self._stack.env["REDIS_PORT"])))


def wait(seconds: float) -> None:
    """Time that is part of an experiment."""
    time.sleep(seconds)


def _resident(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


def _used_memory(port: int) -> int:
    return int(_after(port, "INFO memory", b"used_memory"))


def _after(port: int, command: str, name: bytes) -> bytes:
    """What a Redis command answers behind a name, on its line or on the next one."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(command.encode() + b"\r\n")
        with connection.makefile("rb") as answer:
            for line in answer:
                found, _, value = line.strip().partition(b":")
                if found == name:
                    return value or next(answer).strip().lstrip(b":")
                if line.startswith(b"-"):
                    break
    raise StartError(f"Redis does not answer {command} as expected")


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return answer.status == 200
    except OSError:
        return False


def _raise_open_files() -> None:
    """For us and all children: every request that waits has a connection at both ends."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
