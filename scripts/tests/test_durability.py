"""What counts as lost, and the verdict over it."""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from durability_report import Kill, Loss, Result, broken, count, table  # noqa: E402
from resp import Connection, Refused, encode  # noqa: E402

NOTHING_LOST = Loss(0, 0.0, 0)


def report(right: int = 90, **failures: int) -> dict:
    kinds = [{"kind": kind, "count": number} for kind, number in failures.items()]
    failed = sum(failures.values())
    return {"requests": right + failed, "succeeded": right, "failed": failed, "failures": kinds}


def setting(*kills: Kill, name: str = "it", may_lose: bool = True, throughput: tuple[float, ...] = (100, 80)) -> Result:
    return Result(name, list(throughput), list(kills), may_lose)


class Counting(unittest.TestCase):
    def test_the_oldest_of_a_lost_tail_tells_how_far_back_it_goes(self) -> None:
        self.assertEqual(count([1.0, 2.0, 2.25, 2.5], {0, 1}, killed=3.0), Loss(2, 750.0, 0))

    def test_nothing_is_lost_if_an_entry_survives_whose_confirmation_did_not_arrive(self) -> None:
        self.assertEqual(count([1.0, 2.0], {0, 1, 2}, killed=3.0), NOTHING_LOST)

    def test_an_entry_lost_before_one_that_survived_is_a_hole(self) -> None:
        self.assertEqual(count([1.0, 2.0, 2.5], {0, 2}, killed=3.0), Loss(1, 1000.0, 1))

    def test_everything_may_be_lost(self) -> None:
        self.assertEqual(count([1.0, 2.0], set(), killed=3.0), Loss(2, 2000.0, 0))

    def test_a_confirmation_read_after_the_signal_is_no_negative_age(self) -> None:
        self.assertEqual(count([3.1], set(), killed=3.0), Loss(1, 0.0, 0))


class Verdict(unittest.TestCase):
    def test_503_and_504_are_honest(self) -> None:
        self.assertEqual(broken([setting(Kill(10, NOTHING_LOST, report(http_503=9, http_504=1)))]), [])

    def test_every_promise_can_be_broken(self) -> None:
        lost = Loss(3, 5.0, 0)
        cases = (
            ("it: 2 callers got neither", setting(Kill(10, NOTHING_LOST, report(wrong_city=1, timeout=1)))),
            ("it: 1 entries were lost although", setting(Kill(10, Loss(3, 5.0, 1), report()))),
            ("it: 3 confirmed entries were lost", setting(Kill(10, lost, report()), may_lose=False)),
        )
        for sentence, result in cases:
            with self.subTest(sentence):
                self.assertIn(sentence, "\n".join(broken([result])))


class Table(unittest.TestCase):
    def test_it_compares_round_by_round_and_sums_what_callers_saw(self) -> None:
        kills = [Kill(10, Loss(lost, 10.0 * lost, 0), report(http_503=8, http_504=2)) for lost in (1, 2, 6)]
        slower = setting(*kills, name="slower", throughput=(50, 60))

        lines = table([setting(*kills), slower]).splitlines()

        self.assertEqual(
            lines[3], "| slower | 0.62 (0.50–0.75) | 3 | 2 | 6 | 20 ms | 60 ms | 90.0% | 8.0% | 2.0% | 0 |"
        )
        self.assertTrue(all(line.count("|") == 12 for line in lines), lines)


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
