"""Just enough of Redis' protocol to ask a server on this machine.

Standard library only, Python 3.9 or newer.
"""

from __future__ import annotations

import socket
from typing import Any


class Refused(Exception):
    """The server's error, in its words."""


class Connection:
    """One command after the other; OSError when the server is gone."""

    def __init__(self, port: int, timeout: float = 10) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._answers = self._socket.makefile("rb")

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self._answers.close()
        self._socket.close()

    def call(self, *words: str | bytes | int) -> Any:
        """The answer: bytes, int, None or a list of these."""
        self._socket.sendall(encode(*words))
        return self._answer()

    def _answer(self) -> Any:
        line = self._answers.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionResetError("the server is gone")
        kind, rest = line[:1], line[1:-2]
        if kind == b"-":
            raise Refused(rest.decode(errors="replace"))
        if kind == b"+":
            return rest
        if kind == b":":
            return int(rest)
        length = int(rest)
        if length < 0:
            return None
        if kind == b"*":
            return [self._answer() for _ in range(length)]
        text = self._answers.read(length + 2)
        if len(text) < length + 2:
            raise ConnectionResetError("the server is gone")
        return text[:-2]


def encode(*words: str | bytes | int) -> bytes:
    """A command as it travels."""
    parts = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)
