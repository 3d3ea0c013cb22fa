"""The little of Redis' protocol that scripts and tests speak."""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from resp import Connection, Refused, encode  # noqa: E402


class Protocol(unittest.TestCase):
    def test_answers_of_every_kind_are_read(self) -> None:
        answer = b"*5\r\n$3\r\na\r\n\r\n:7\r\n$-1\r\n+OK\r\n*0\r\n"

        with answering(answer) as port, Connection(port) as redis:
            self.assertEqual(redis.call("ANY"), [b"a\r\n", 7, None, b"OK", []])

    def test_an_error_is_refused_and_an_answer_that_breaks_off_is_a_lost_connection(self) -> None:
        for answer, expected in ((b"-OOM no room\r\n", Refused), (b"$10\r\nhalf", OSError), (b"", OSError)):
            with self.subTest(answer), answering(answer) as port, Connection(port) as redis:
                self.assertRaises(expected, redis.call, "ANY")

    def test_a_command_is_encoded_by_bytes(self) -> None:
        self.assertEqual(encode("SET", "ä", 10), b"*3\r\n$3\r\nSET\r\n$2\r\n\xc3\xa4\r\n$2\r\n10\r\n")


@contextlib.contextmanager
def answering(answer: bytes):
    """The port of a server that says this, whatever it is asked, and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


if __name__ == "__main__":
    unittest.main()
