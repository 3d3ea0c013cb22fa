"""The commands for backup and restore, as docs/OPERATIONS.md has them, run against real servers."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(SCRIPTS))

import redis_server  # noqa: E402
from ports import free_port  # noqa: E402
from processes import Child, answers_ping, wait_until  # noqa: E402
from resp import Connection  # noqa: E402

OPERATIONS = (SCRIPTS.parent / "docs" / "OPERATIONS.md").read_text(encoding="utf-8")
AS_ALWAYS = ("--appendonly", "yes", "--appendfsync", "everysec", "--save", "")


def commands(first_words: str) -> str:
    """The block of commands that begins with this comment."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", OPERATIONS, re.M | re.S)
    (found,) = (block for block in blocks if block.startswith(f"# {first_words}"))
    return found


@unittest.skipUnless(shutil.which("redis-cli"), "SKIPPED, no redis-cli on PATH (Debian: apt install redis-tools)")
class Documented(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.server = redis_server.find()

    def test_a_copy_of_the_append_only_files_is_restored_with_everything_in_it(self) -> None:
        port = self.fill(self.start("old"))

        self.run_in("old", "Copy the append-only files", port)
        shutil.copytree(self.folder / "old" / "backup", self.folder / "new" / "appendonlydir")

        with Connection(port) as redis:
            self.assertEqual(redis.call("CONFIG", "GET", "auto-aof-rewrite-percentage")[1], b"100", "as before")
        self.check(self.start("new"))

    def test_a_snapshot_is_restored_with_everything_in_it(self) -> None:
        for name, first_words in (("here", "Take a snapshot. LASTSAVE"), ("afar", "Take a snapshot from anywhere")):
            with self.subTest(name):
                port = self.fill(self.start(f"old-{name}"))

                self.run_in(f"old-{name}", first_words, port)
                (self.folder / name).mkdir()
                shutil.copy(self.folder / f"old-{name}" / "backup.rdb", self.folder / name / "dump.rdb")
                self.run_in(name, "Make append-only files")

                self.check(self.start(name))

    def start(self, name: str) -> int:
        """A server as it always is, on a folder; its port."""
        folder, port = self.folder / name, free_port()
        folder.mkdir(exist_ok=True)
        server = Child("redis", [self.server, "--port", f"{port}", "--dir", str(folder), *AS_ALWAYS])
        self.addCleanup(server.stop)
        wait_until(lambda: answers_ping(port), f"Redis on port {port}")
        return port

    def fill(self, port: int) -> int:
        """Three entries, of which one is acknowledged, one pending and one unread; a dead letter."""
        with Connection(port) as redis:
            for number in range(3):
                redis.call("XADD", "weather-requests", f"{number + 1}-0", "n", number)
            redis.call("XGROUP", "CREATE", "weather-requests", "weather-workers", 0)
            redis.call("XREADGROUP", "GROUP", "weather-workers", "w", "COUNT", 2, "STREAMS", "weather-requests", ">")
            redis.call("XACK", "weather-requests", "weather-workers", "1-0")
            redis.call("XADD", "{weather-requests}:dlq", "9-0", "dlq_reason", "panicked")
        return port

    def check(self, port: int) -> None:
        """All of that is there, and the next worker gets what nobody had."""
        with Connection(port) as redis:
            pending = redis.call("XPENDING", "weather-requests", "weather-workers")
            self.assertEqual(pending, [1, b"2-0", b"2-0", [[b"w", b"1"]]])
            read = redis.call("XREADGROUP", "GROUP", "weather-workers", "x", "STREAMS", "weather-requests", ">")
            self.assertEqual(read, [[b"weather-requests", [[b"3-0", [b"n", b"2"]]]]])
            self.assertEqual(redis.call("XRANGE", "{weather-requests}:dlq", "-", "+")[0][0], b"9-0")
            self.assertIn(b"aof_enabled:1", redis.call("INFO", "persistence"))

    def run_in(self, name: str, first_words: str, port: int | None = None) -> None:
        """What somebody does who pastes the block into a shell; `redis-cli` alone is that server's."""
        tools = self.folder / "bin"
        tools.mkdir(exist_ok=True)
        prefix = "" if port is None else f"-p {port}"
        self.tool(tools / "redis-cli", f'exec {shutil.which("redis-cli")} {prefix} "$@"')
        self.tool(tools / "redis-server", f'exec {self.server} "$@"')
        env = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"}
        command = ["sh", "-eu", "-c", commands(first_words)]
        done = subprocess.run(
            command, cwd=self.folder / name, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60
        )
        self.assertEqual(done.returncode, 0, done.stdout)

    def tool(self, path: Path, line: str) -> None:
        path.write_text(f"#!/bin/sh\n{line}\n")
        path.chmod(0o755)


if __name__ == "__main__":
    unittest.main()
