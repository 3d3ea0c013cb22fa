"""Redis, proxy and ingress as one thing that starts in order and stops in the reverse order.

Standard library only, Python 3.9 or newer.
"""

from __future__ import annotations

import fcntl
import os
import threading
import urllib.error
import urllib.request
from pathlib import Path
from typing import Callable, Mapping

import redis_check
import redis_server
from ports import Address, describe, free_port, owner, port_number
from processes import Child, Interrupted, StartError, answers_ping, wait_until
from runs import Earlier, Record

# What the binaries and Redis listen on unless the environment says otherwise: closed to the network.
DEFAULTS = {
    "INGRESS_LISTEN": "127.0.0.1:5009",
    "INGRESS_ADMIN_LISTEN": "127.0.0.1:9009",
    "PROXY_LISTEN": "127.0.0.1:5010",
    "REDIS_PORT": "6379",
}

# The binaries give up after their own SHUTDOWN_GRACE, 30 s by default; only then is it our turn.
GRACE = 35
REDIS_GRACE = 10


class Stack:
    """The processes of one local deployment. `stop` leaves none of them running.

    `show` gets every line that a child prints, and the child's name.
    """

    def __init__(
        self,
        env: Mapping[str, str],
        binaries: Path,
        data: Path,
        show: Callable[[str, str], None] | None = None,
    ) -> None:
        self.env = dict(env)
        for variable in DEFAULTS:
            self.env[variable] = self._setting(variable)
        self._show = show
        self._record = Record(data)
        # False when REDIS_URL names a server that somebody else runs.
        self.starts_redis = not self.env.get("REDIS_URL")
        if self.starts_redis:
            self.env["REDIS_URL"] = f"redis://127.0.0.1:{self._setting('REDIS_PORT')}"
        self.binaries = binaries
        self.data = data
        self.children: list[Child] = []
        # Set when somebody wants everything to stop, or when a child ended by itself.
        self.wake = threading.Event()
        self.stop_asked = threading.Event()

    @property
    def redis_url(self) -> str:
        """Where Redis is, the password left out."""
        return redis_check.shown(self.env["REDIS_URL"])

    def url(self, variable: str) -> str:
        """The address a person opens for one of the listeners."""
        return self._address(variable).url()

    def check_ports(self) -> None:
        """Names every port that cannot be used, who has it, and how to choose another."""
        addresses = self._addresses()
        earlier = Earlier(self.data)
        problems, owners = [], []
        for variable, address in addresses.items():
            try:
                if not address.is_taken():
                    continue
            except OSError as error:
                problems.append(f"{variable}={self._setting(variable)}: {error.strerror or error}")
                continue
            pid = owner(address.port)
            owners.append(pid)
            other = f"{free_port()}" if variable == "REDIS_PORT" else f"{address.host}:{free_port()}"
            problems.append(f"port {address.port} is used by {describe(pid)}; choose another: {variable}={other}")
            if variable == "REDIS_PORT" and answers_ping(address.port):
                problems[-1] += f", or use that server: REDIS_URL=redis://127.0.0.1:{address.port}"
        if problems:
            raise StartError("\n".join(problems) + earlier.advice(owners))

    def check_redis(self) -> None:
        """Says at once why a server that somebody else runs cannot be used."""
        problem = None if self.starts_redis else redis_check.problem(self.env["REDIS_URL"])
        if problem:
            raise StartError(f"check REDIS_URL: {problem}")

    def start(self, say: Callable[[str], None] = lambda _: None) -> None:
        """Starts what is needed, each when what it needs is ready."""
        if self.starts_redis:
            say("starting Redis")
            self._start_redis()
        say("starting proxy")
        self._start_binary("proxy", self.url("PROXY_LISTEN"))
        say("starting ingress")
        self._start_binary("ingress", self.url("INGRESS_LISTEN"))

    def ended(self) -> Child | None:
        """A child that ended although nobody asked it to."""
        return next((c for c in self.children if c.exit_code is not None and not c.stopping), None)

    def stop(self, say: Callable[[str], None] = lambda _: None) -> None:
        """Stops ingress, then proxy, then Redis: nobody loses what the next one still needs."""
        while self.children:
            child = self.children[-1]
            if child.exit_code is None:
                say(f"stopping {child.name}")
            child.stop(say)
            self.children.pop()
        self._record.remove()

    def kill(self) -> None:
        """Ends everything at once."""
        for child in reversed(self.children):
            child.kill()

    def _start_redis(self) -> None:
        port = self._address("REDIS_PORT").port
        try:
            binary = redis_server.find()
        except redis_server.NotFound as problem:
            raise StartError(str(problem)) from None
        # A folder for each kind: neither opens what the other wrote.
        kind, version = redis_server.identify(binary)
        folder = self.data / kind
        folder.mkdir(parents=True, exist_ok=True)
        writer = folder / "written-by"
        _refuse_newer(writer, kind, version)
        options = {
            "--bind": "127.0.0.1",
            "--port": str(port),
            "--dir": str(folder),
            "--appendonly": "yes",
            "--appendfsync": "everysec",
            "--save": "",
            "--maxmemory-policy": "noeviction",
        }
        with (folder / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                earlier = Earlier(self.data)
                advice = earlier.advice(earlier.redis)
                raise StartError(f"another Redis server is using {folder}: stop it first{advice}") from None
            # The server inherits the lock: two on the same files would destroy them.
            command = [binary, *(part for option in options.items() for part in option)]
            redis = self._spawn("redis", command, REDIS_GRACE, pass_fds=(lock.fileno(),))
        self._wait(redis, lambda: answers_ping(port), f"Redis on port {port} with the data in {folder}", 60)
        writer.write_text("{}.{}\n".format(*version))

    def _start_binary(self, name: str, url: str) -> None:
        binary = self.binaries / name
        if not binary.exists():
            raise StartError(f"{binary} does not exist; build it with: cargo build --profile up -p {name}")
        child = self._spawn(name, [binary], GRACE)
        self._wait(child, lambda: _is_ready(url), f"{name} at {url}/readyz", 30)

    def _wait(self, child: Child, ready: Callable[[], bool], what: str, timeout: float) -> None:
        def check() -> None:
            if self.stop_asked.is_set():
                raise Interrupted
            ended = self.ended()
            if ended is not None:
                raise StartError(ended.obituary())

        try:
            wait_until(ready, what, timeout, check)
        except TimeoutError as problem:
            raise StartError(f"{problem}{child.said()}") from None

    def _spawn(self, name: str, command: list[str | Path], grace: float, pass_fds: tuple[int, ...] = ()) -> Child:
        show = self._show
        on_line = None if show is None else lambda line: show(name, line)
        child = Child(name, command, self.env, grace, self.wake.set, pass_fds, on_line)
        self.children.append(child)
        self._record.add(name, child.process.pid)
        return child

    def _setting(self, variable: str) -> str:
        return self.env.get(variable) or DEFAULTS[variable]

    def _address(self, variable: str) -> Address:
        text = self._setting(variable)
        try:
            return Address("127.0.0.1", port_number(text)) if variable == "REDIS_PORT" else Address.parse(text)
        except ValueError as problem:
            raise StartError(f"{variable}={text} {problem}") from None

    def _addresses(self) -> dict[str, Address]:
        """Where everything that is started here will listen; each for itself."""
        addresses: dict[str, Address] = {}
        problems = []
        for variable in DEFAULTS:
            if variable == "REDIS_PORT" and not self.starts_redis:
                continue
            try:
                address = self._address(variable)
            except StartError as problem:
                problems.append(str(problem))
                continue
            for other in (name for name, earlier in addresses.items() if address.meets(earlier)):
                problems.append(f"{other} and {variable} both name port {address.port}: choose another for one")
            addresses[variable] = address
        if problems:
            raise StartError("\n".join(problems))
        return addresses


def isolated(binaries: Path, data: Path) -> Stack:
    """A stack of its own for a test: free ports on the loopback address, an own Redis."""
    env = {**os.environ, "REDIS_PORT": str(free_port())}
    env.pop("REDIS_URL", None)
    for variable in ("INGRESS_LISTEN", "INGRESS_ADMIN_LISTEN", "PROXY_LISTEN"):
        env[variable] = f"127.0.0.1:{free_port()}"
    return Stack(env, binaries, data)


def _refuse_newer(writer: Path, kind: str, version: tuple[int, int]) -> None:
    """An older server cannot read what a newer one wrote, and advises to "fix" it, which destroys it."""
    try:
        major, minor = writer.read_text().strip().split(".")
        wrote = int(major), int(minor)
    except (OSError, ValueError):
        return
    if wrote > version:
        name = kind.capitalize()
        raise StartError(
            "{0} {2}.{3} wrote the data in {1}, and this is {0} {4}.{5}, which is older: put the newer server"
            " on PATH, or move that folder away to start without data".format(name, writer.parent, *wrote, *version)
        )


def _is_ready(url: str) -> bool:
    # Never through a proxy: this is our own child.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{url}/readyz", timeout=2) as answer:
            return answer.status == 200
    except (OSError, urllib.error.HTTPError):
        return False
