"""Child processes with a session of their own, and what is needed to start and stop them well.

Standard library only, Python 3.9 or newer.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Callable, Mapping, Sequence


class Child:
    """A running process whose output is read line by line.

    It leads a session of its own, so a terminal's Ctrl-C does not reach it: whoever started it
    decides when and in which order processes stop. On Linux it gets SIGTERM when the thread that
    started it is gone: not even a killed script leaves it behind.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        env: Mapping[str, str] | None = None,
        grace: float = 10,
        on_line: Callable[[str], None] | None = None,
    ) -> None:
        self.name = name
        self.grace = grace
        self.stopping = False
        self._on_line = on_line
        self.process = subprocess.Popen(
            [str(part) for part in command],
            env=None if env is None else dict(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
            preexec_fn=_end_with(os.getpid()),
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def exit_code(self) -> int | None:
        """None while it runs; minus the signal's number when a signal ended it."""
        return self.process.poll()

    def stop(self) -> None:
        """SIGTERM, then SIGKILL when the grace is over; returns when nothing of it is left."""
        self.stopping = True
        self._signal(signal.SIGTERM)
        try:
            self.process.wait(self.grace)
        except subprocess.TimeoutExpired:
            pass
        self.kill()
        self.process.wait()
        self._reader.join(1)

    def kill(self) -> None:
        """Ends it and whatever it left in its session, at once."""
        self.stopping = True
        self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        try:
            os.killpg(self.process.pid, number)
        except (ProcessLookupError, PermissionError):
            pass  # Gone already; macOS answers EPERM for a group of zombies.

    def _read(self) -> None:
        with self.process.stdout as output:  # type: ignore[union-attr]
            for line in output:
                if self._on_line:
                    self._on_line(line.rstrip("\n"))
        self.process.wait()


def _end_with(parent: int) -> Callable[[], None] | None:
    """What a new process runs before its program, to get SIGTERM when its parent is gone."""
    if sys.platform != "linux":
        return None
    # Looked up here: between fork and exec as little as possible may happen.
    prctl, set_parent_death_signal = ctypes.CDLL(None).prctl, 1

    def before_exec() -> None:
        prctl(set_parent_death_signal, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(1)  # It went before the signal was arranged.

    return before_exec


def wait_until(
    ready: Callable[[], bool],
    what: str,
    timeout: float = 30,
    check: Callable[[], None] = lambda: None,
) -> None:
    """Asks `ready` again and again until it says yes or the time is over; `check` may raise."""
    deadline = time.monotonic() + timeout
    while not ready():
        check()
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} was not ready after {timeout:g} s")
        time.sleep(0.05)


def answers_ping(port: int) -> bool:
    """True when the Redis server on this local port has its data loaded and answers."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
    except OSError:
        return False
