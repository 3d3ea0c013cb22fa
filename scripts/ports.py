"""Ports that are free.

Standard library only, Python 3.9 or newer.
"""

from __future__ import annotations

import random
import socket

_given: set[int] = set()


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
