"""`redis_check.py` against a real Redis server with a password, and against what is none."""

from __future__ import annotations

import socket
import sys
import tempfile
import threading
import unittest
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(SCRIPTS))

import redis_check  # noqa: E402
import redis_server  # noqa: E402
from ports import free_port  # noqa: E402
from processes import Child, wait_until  # noqa: E402

PASSWORD = "s3cret/@:"
ENCODED = "s3cret%2F%40%3A"


class RedisCheckTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.port = free_port()
        cls.socket = f"{folder.name}/redis.sock"
        options = {"--port": cls.port, "--bind": "127.0.0.1", "--save": "", "--dir": folder.name}
        options.update({"--requirepass": PASSWORD, "--unixsocket": cls.socket})
        server = Child("redis", [redis_server.find(), *(str(part) for pair in options.items() for part in pair)])
        cls.addClassCleanup(server.process.stdout.close)
        cls.addClassCleanup(server.stop)
        wait_until(lambda: cls.check(f"redis://:{ENCODED}@127.0.0.1:{cls.port}") is None, "Redis")

    @staticmethod
    def check(url: str) -> str | None:
        return redis_check.problem(url, timeout=5)

    def test_a_server_that_lets_us_in_is_no_problem(self) -> None:
        for url in (
            f"redis://:{ENCODED}@127.0.0.1:{self.port}/3",
            f"redis://default:{ENCODED}@localhost:{self.port}",
            f"unix://{self.socket}?pass={ENCODED}",
        ):
            self.assertIsNone(self.check(url), url)

    def test_a_login_that_fails_is_told_without_the_password(self) -> None:
        wrong = self.check(f"redis://:hunter2@127.0.0.1:{self.port}")

        self.assertEqual(wrong, f"127.0.0.1:{self.port} refuses the user name or the password (WRONGPASS)")
        self.assertIn("wants a password", self.check(f"redis://127.0.0.1:{self.port}"))
        self.assertIn("no database 99", self.check(f"redis://:{ENCODED}@127.0.0.1:{self.port}/99"))

    def test_a_url_that_its_password_breaks_is_told_without_the_password(self) -> None:
        problem = self.check("redis://:hunter2/x@127.0.0.1:6379")

        self.assertIn("percent-encoded", problem)
        self.assertNotIn("hunter2", problem)

    def test_nobody_there_is_told(self) -> None:
        self.assertIn("cannot reach 127.0.0.1:", self.check(f"redis://127.0.0.1:{free_port()}"))
        self.assertIn("cannot reach /nowhere.sock", self.check("unix:///nowhere.sock"))

    def test_another_protocol_is_told(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]

            def serve() -> None:
                for _ in range(2):
                    connection, _ = server.accept()
                    with connection:
                        connection.recv(1024)
                        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

            thread = threading.Thread(target=serve, daemon=True)
            thread.start()

            self.assertIn("is no Redis server", self.check(f"redis://127.0.0.1:{port}"))
            self.assertIn("cannot reach", self.check(f"rediss://127.0.0.1:{port}"))
            thread.join(5)

    def test_a_password_is_never_shown(self) -> None:
        for url, shown in (
            ("redis://user:p@ss@host:1/2", "redis://user:***@host:1/2"),
            ("redis://:pw@host", "redis://:***@host"),
            ("unix:///a.sock?pass=pw", "unix:///a.sock"),
            ("redis://127.0.0.1:6379", "redis://127.0.0.1:6379"),
        ):
            self.assertEqual(redis_check.shown(url), shown)


if __name__ == "__main__":
    unittest.main()
