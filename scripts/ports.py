"""Listen addresses: reading them, showing them, and who has taken one.

Standard library only, Python 3.9 or newer.
"""

from __future__ import annotations

import errno
import random
import re
import shutil
import socket
import subprocess
from pathlib import Path
from typing import NamedTuple


class Address(NamedTuple):
    """Where a server listens."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Address:
        """`0.0.0.0:5009`, `[::]:5009`."""
        host, _, port = text.rpartition(":")
        if not host:
            raise ValueError("is no address with a port, such as 0.0.0.0:5009")
        return cls(host.strip("[]"), port_number(port))

    def url(self) -> str:
        """As a person on this machine opens it: a wildcard address is no place to go to."""
        wildcard = self.host in ("0.0.0.0", "::", "")
        host = "localhost" if wildcard else f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    def meets(self, other: Address) -> bool:
        """True when one process at most can listen at both."""
        hosts = {self.host, other.host}
        return self.port == other.port and (len(hosts) == 1 or bool(hosts & {"0.0.0.0", "::"}))

    def is_taken(self) -> bool:
        """True when another socket listens where this address would. OSError: nobody can listen there."""
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((self.host, self.port))
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
                return True
        return False


def port_number(text: str) -> int:
    """A port that one can name; 0 would be another one at every start."""
    if not (text.isascii() and text.isdigit() and len(text) < 6 and 1 <= int(text) <= 65535):
        raise ValueError("needs a port from 1 to 65535")
    return int(text)


def free_port() -> int:
    """A port that nobody listened on a moment ago; never the same one twice.

    Below the range from which systems take ports for outgoing connections, so that none of those
    comes in between."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in _given:
            _given.add(port)
            return port


_given: set[int] = set()


def owner(port: int) -> int | None:
    """The process that listens on a port, where the system tells."""
    return _pid_from_proc(port) or _pid_from_lsof(port)


def describe(pid: int | None) -> str:
    """`name (process 123)`."""
    if pid is None:
        return "another program"
    try:
        name = Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        command = ["ps", "-o", "comm=", "-p", str(pid)]
        name = subprocess.run(command, stdout=subprocess.PIPE, text=True).stdout.strip()
    return f"{name or 'a program'} (process {pid})"


def _pid_from_proc(port: int) -> int | None:
    """Linux: a listening socket's inode is in /proc/net/tcp, its owner's in /proc/PID/fd."""
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for columns in map(str.split, lines):
            listening = columns[3] == "0A"
            if listening and int(columns[1].rsplit(":", 1)[1], 16) == port:
                inodes.add(f"socket:[{columns[9]}]")
    for link in Path("/proc").glob("[0-9]*/fd/*") if inodes else ():
        try:
            if str(link.readlink()) in inodes:
                return int(link.parts[2])
        except OSError:
            continue  # Another user's process, or one that just ended.
    return None


def _pid_from_lsof(port: int) -> int | None:
    if not shutil.which("lsof"):
        return None
    command = ["lsof", "-nP", f"-iTCP:{port}", "-sTCP:LISTEN", "-t"]
    found = re.match(r"\d+", subprocess.run(command, stdout=subprocess.PIPE, text=True).stdout)
    return int(found.group()) if found else None
