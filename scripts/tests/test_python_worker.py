"""The Python example worker against a real Redis server, entries written by hand.

Needs redis-py: run with the interpreter that `scripts/python_venv.py redis` prints.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
import unittest
import uuid
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(SCRIPTS))

import redis  # noqa: E402

import redis_server  # noqa: E402
from ports import free_port  # noqa: E402
from processes import Child, answers_ping, wait_until  # noqa: E402

WORKER = SCRIPTS.parent / "examples" / "python-worker" / "worker.py"
STREAM, REPLIES, GROUP, DEAD_LETTERS = "weather-requests", "weather-responses", "workers", "{weather-requests}:dlq"


class PythonWorkerTest(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        port = free_port()
        server = [redis_server.find(), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder.name]
        self.server = Child("redis", server)
        self.addCleanup(self.server.process.stdout.close)
        self.addCleanup(self.server.stop)
        wait_until(lambda: answers_ping(port), "Redis")
        self.url = f"redis://127.0.0.1:{port}"
        self.redis = redis.Redis.from_url(self.url, decode_responses=True, protocol=2)
        self.addCleanup(self.redis.close)

    def worker(self, name: str = "py-1") -> Child:
        env = {**os.environ, "REDIS_URL": self.url, "CONSUMER_GROUP": GROUP, "WORKER_NAME": name}
        env.update({"REQUEST_STREAM": STREAM, "REPLY_STREAM": REPLIES})
        worker = Child("worker", [sys.executable, WORKER], env)
        self.addCleanup(worker.process.stdout.close)
        self.addCleanup(worker.process.wait)
        self.addCleanup(worker.kill)
        return worker

    def request(self, **changes: str | None) -> str:
        """Puts a request on the stream; a field set to None is left out. Returns its id."""
        fields = {
            "id": str(uuid.uuid4()),
            "reply_to": REPLIES,
            "deadline": str(int((time.time() + 30) * 1000)),
            "content_type": "application/json",
            "body": json.dumps({"city": "Oslo", "location": "Frogner"}),
            **changes,
        }
        self.redis.xadd(STREAM, {name: value for name, value in fields.items() if value is not None})
        return fields["id"]

    def replies(self, lane: str = REPLIES) -> list[dict]:
        return [fields for _, fields in self.redis.xrange(lane)]

    def dead_letters(self) -> list[dict]:
        return [fields for _, fields in self.redis.xrange(DEAD_LETTERS)]

    def nothing_is_left(self) -> bool:
        """Every entry was delivered and acknowledged."""
        try:
            group = self.redis.xinfo_groups(STREAM)[0]
            last = self.redis.xinfo_stream(STREAM)["last-generated-id"]
        except (redis.ResponseError, IndexError):
            return False
        return group["pending"] == 0 and group["last-delivered-id"] == last

    def test_a_request_is_answered_and_then_acknowledged(self) -> None:
        request_id = self.request()

        self.worker()

        wait_until(self.nothing_is_left, "the acknowledgement")
        (reply,) = self.replies()
        self.assertEqual((reply["id"], reply["status"]), (request_id, "200"))
        self.assertEqual((reply["worker"], reply["attempt"]), ("py-1", "1"))
        self.assertGreaterEqual(int(reply["work_us"]), 0)
        answer = json.loads(reply["body"])
        self.assertEqual((answer["city"], answer["requestId"], len(answer["daily"])), ("Oslo", request_id, 5))

    def test_the_reply_goes_to_the_lane_that_the_request_names(self) -> None:
        self.request(reply_to=f"{REPLIES}.replica-7")

        self.worker()

        wait_until(self.nothing_is_left, "the acknowledgement")
        self.assertEqual(len(self.replies(f"{REPLIES}.replica-7")), 1)
        self.assertGreater(self.redis.ttl(f"{REPLIES}.replica-7"), 0, "an abandoned lane goes away")

    def test_what_is_no_request_becomes_a_dead_letter_and_the_next_one_is_answered(self) -> None:
        origin = self.redis.xadd(STREAM, {"noise": "\u2603"})
        self.request(id="7")
        self.request(reply_to="sessions")
        told = self.request(body=None)
        request_id = self.request()

        self.worker()

        wait_until(self.nothing_is_left, "the acknowledgement")
        letters = self.dead_letters()
        self.assertEqual(len(letters), 4)
        self.assertEqual((letters[0]["noise"], letters[0]["dlq_origin_id"]), ("\u2603", origin))
        self.assertIn("reply_to", letters[2]["dlq_reason"])
        self.assertEqual([(r["id"], r["status"]) for r in self.replies()], [(told, "502"), (request_id, "200")])
        self.assertFalse(self.redis.exists("sessions"))

    def test_work_that_fails_is_answered_with_502_and_kept_as_a_dead_letter(self) -> None:
        request_id = self.request(body="no JSON")

        self.worker()

        wait_until(self.nothing_is_left, "the acknowledgement")
        self.assertEqual([(r["id"], r["status"]) for r in self.replies()], [(request_id, "502")])
        self.assertEqual([letter["body"] for letter in self.dead_letters()], ["no JSON"])

    def test_a_request_nobody_waits_for_is_acknowledged_without_work(self) -> None:
        self.request(deadline="1000")

        self.worker()

        wait_until(self.nothing_is_left, "the acknowledgement")
        self.assertEqual((self.replies(), self.dead_letters()), ([], []))

    def test_a_lane_that_can_never_hold_the_reply_costs_one_dead_letter(self) -> None:
        self.redis.set(f"{REPLIES}.x", "not a stream")
        self.request(reply_to=f"{REPLIES}.x")

        self.worker()

        wait_until(self.nothing_is_left, "the acknowledgement")
        self.assertIn("WRONGTYPE", self.dead_letters()[0]["dlq_reason"])

    def test_a_reply_that_cannot_be_stored_now_is_stored_later(self) -> None:
        worker = self.worker()
        wait_until(lambda: self.redis.exists(STREAM) == 1, "the group")
        fields = {"id": str(uuid.uuid4()), "reply_to": REPLIES, "body": '{"city": "Oslo", "location": ""}'}
        # At once: afterwards the server takes neither this request nor its reply.
        self.redis.pipeline().xadd(STREAM, fields).execute_command("CONFIG", "SET", "maxmemory", "1").execute()
        wait_until(lambda: any("memory" in line for line in worker.last_lines), "the refusal")
        self.assertEqual((self.redis.xlen(REPLIES), self.redis.xpending(STREAM, GROUP)["pending"]), (0, 1))

        self.redis.config_set("maxmemory", "0")

        wait_until(self.nothing_is_left, "the acknowledgement")
        self.assertEqual([reply["status"] for reply in self.replies()], ["200"])

    def test_what_a_dead_worker_left_is_taken_over(self) -> None:
        self.redis.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
        request_id = self.request()
        self.redis.xreadgroup(GROUP, "dead", {STREAM: ">"})

        self.worker()

        wait_until(self.nothing_is_left, "the acknowledgement")
        self.assertEqual([(r["id"], r["attempt"]) for r in self.replies()], [(request_id, "2")])

    def test_what_kills_its_workers_is_given_up(self) -> None:
        self.redis.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
        request_id = self.request()
        self.redis.xreadgroup(GROUP, "py-1", {STREAM: ">"})
        for _ in range(4):
            self.redis.xreadgroup(GROUP, "py-1", {STREAM: "0"})

        self.worker("py-1")

        wait_until(self.nothing_is_left, "the acknowledgement")
        self.assertEqual([(r["id"], r["status"]) for r in self.replies()], [(request_id, "502")])
        self.assertEqual(self.dead_letters()[0]["dlq_reason"], "given up after 5 deliveries")

    def test_a_worker_finishes_what_it_left_itself(self) -> None:
        self.redis.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
        self.request()
        self.redis.xreadgroup(GROUP, "py-1", {STREAM: ">"})

        self.worker("py-1")

        wait_until(self.nothing_is_left, "the acknowledgement", timeout=1.9)  # Before it could be claimed.
        self.assertEqual(len(self.replies()), 1)

    def test_a_heartbeat_tells_of_an_idle_worker(self) -> None:
        def idle() -> int | None:
            try:
                return next((c["idle"] for c in self.redis.xinfo_consumers(STREAM, GROUP)), None)
            except redis.ResponseError:
                return None

        self.worker()
        wait_until(lambda: (idle() or 0) > 1_500, "an idle consumer")

        wait_until(lambda: idle() < 1_000, "a heartbeat", 10)

    def test_a_stream_that_vanished_is_made_anew(self) -> None:
        self.worker()
        wait_until(lambda: self.redis.exists(STREAM) == 1, "the group")

        self.redis.flushall()
        self.request()

        wait_until(self.nothing_is_left, "the acknowledgement")
        self.assertEqual(len(self.replies()), 1)

    def test_sigterm_ends_it_without_an_error(self) -> None:
        worker = self.worker()
        wait_until(lambda: self.redis.exists(STREAM) == 1, "the group")

        worker.stop()

        self.assertEqual(worker.exit_code, 0)
        self.assertIn("has stopped", worker.last_lines[-1])


if __name__ == "__main__":
    unittest.main()
