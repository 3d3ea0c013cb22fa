"""Redis, proxy and ingress on free ports, for the experiments in Python. Everything else starts them with `stack run`.

Standard library only, Python 3.9 or newer.
"""

from __future__ import annotations

import os
import urllib.error
import urllib.request
from pathlib import Path
from typing import Callable

import redis_server
from ports import free_port
from processes import Child, StartError, answers_ping, wait_until

# The binaries give up after their own SHUTDOWN_GRACE, 30 s by default; only then is it our turn.
GRACE = 35


class Stack:
    """The processes of one local deployment. `stop` leaves none of them running."""

    def __init__(self, binaries: Path, data: Path) -> None:
        port = str(free_port())
        self.env = {**os.environ, "REDIS_PORT": port, "REDIS_URL": f"redis://127.0.0.1:{port}"}
        for variable in ("INGRESS_LISTEN", "INGRESS_ADMIN_LISTEN", "PROXY_LISTEN"):
            self.env[variable] = f"127.0.0.1:{free_port()}"
        self.binaries = binaries
        self.data = data
        self.children: list[Child] = []

    def url(self, variable: str) -> str:
        """The address of one of the listeners."""
        return f"http://{self.env[variable]}"

    def start(self) -> None:
        """Starts each when what it needs is ready."""
        port = self.env["REDIS_PORT"]
        self.data.mkdir(parents=True, exist_ok=True)
        options = ["--bind", "127.0.0.1", "--port", port, "--dir", str(self.data), "--save", "", "--appendonly", "yes"]
        redis = Child("redis", [redis_server.find(), *options, "--maxmemory-policy", "noeviction"], self.env)
        self.children.append(redis)
        self._wait(redis, lambda: answers_ping(int(port)))
        for name, variable in (("proxy", "PROXY_LISTEN"), ("ingress", "INGRESS_LISTEN")):
            child = Child(name, [self.binaries / name], self.env, GRACE)
            self.children.append(child)
            self._wait(child, lambda: _is_ready(self.url(variable)))

    def ended(self) -> Child | None:
        """A child that ended although nobody asked it to."""
        return next((c for c in self.children if c.exit_code is not None and not c.stopping), None)

    def stop(self) -> None:
        """Stops ingress, then proxy, then Redis: nobody loses what the next one still needs."""
        while self.children:
            self.children.pop().stop()

    def _wait(self, child: Child, ready: Callable[[], bool]) -> None:
        def check() -> None:
            ended = self.ended()
            if ended is not None:
                raise StartError(ended.obituary())

        try:
            wait_until(ready, child.name, 60, check)
        except TimeoutError as problem:
            raise StartError(f"{problem}{child.said()}") from None


def isolated(binaries: Path, data: Path) -> Stack:
    """A stack of its own."""
    return Stack(binaries, data)


def _is_ready(url: str) -> bool:
    # Never through a proxy: this is our own child.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{url}/readyz", timeout=2) as answer:
            return answer.status == 200
    except (OSError, urllib.error.HTTPError):
        return False
