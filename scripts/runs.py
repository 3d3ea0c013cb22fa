"""Which processes a run of `up.py` started, so that the next run knows what a killed one left.

Standard library only, Python 3.9 or newer.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Iterable

# What a program may be called that carries one of our names.
PROGRAMS = {"redis": ("redis", "valkey")}


class Record:
    """The processes of this run, in a file that goes with its orderly end."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / f"run-{os.getpid()}"

    def add(self, name: str, pid: int) -> None:
        """Another process was started."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with self._file.open("a") as file:
            file.write(f"{pid} {name}\n")

    def remove(self) -> None:
        """All of them ended."""
        self._file.unlink(missing_ok=True)


class Earlier:
    """What earlier runs, killed or still up, have running."""

    def __init__(self, folder: Path) -> None:
        # By process: the one to end in order to end it, which is its `up.py` if that still runs.
        self._ends: dict[int, int] = {}
        self.redis: list[int] = []
        for file in folder.glob("run-*"):
            if not file.name[4:].isdigit():
                continue
            run = int(file.name[4:])
            up = run if run != os.getpid() and "up.py" in _ps(run, "args") else None
            living = [(pid, name) for pid, name in _read(file) if _is(pid, name)]
            self._ends.update({pid: up or pid for pid, _ in living})
            self.redis += [pid for pid, name in living if name == "redis"]
            if not living and up is None:
                file.unlink(missing_ok=True)

    def advice(self, pids: Iterable[int | None]) -> str:
        """How to end those of the processes that an earlier run started, as a line of its own."""
        ends = sorted({self._ends[pid] for pid in pids if pid in self._ends})
        return f"\nan earlier run started that; end it with: kill {' '.join(map(str, ends))}" if ends else ""


def _read(file: Path) -> list[tuple[int, str]]:
    try:
        lines = [line.split() for line in file.read_text().splitlines()]
    except FileNotFoundError:
        return []  # That run just ended.
    return [(int(words[0]), words[1]) for words in lines if len(words) == 2]


def _is(pid: int, name: str) -> bool:
    """A number that another program got meanwhile is none of ours."""
    return any(program in _ps(pid, "comm") for program in PROGRAMS.get(name, (name,)))


def _ps(pid: int, column: str) -> str:
    """A column about a process; nothing if it ended, waited for or not."""
    command = ["ps", "-o", "stat=", "-o", f"{column}=", "-p", str(pid)]
    state, _, text = subprocess.run(command, stdout=subprocess.PIPE, text=True, errors="replace").stdout.partition(" ")
    return "" if state.startswith("Z") else text
