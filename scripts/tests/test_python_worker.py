"""The Python worker of docs/PROTOCOL.md, as it stands there, against a real Redis server, entries written by hand.

Needs redis-py: run with the interpreter that `scripts/python_venv.py redis` prints.
"""

from __future__ import annotations

import json
import os
import re
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

PROTOCOL = SCRIPTS.parent / "docs" / "PROTOCOL.md"
FORECAST = SCRIPTS.parent / "shared" / "weather" / "src" / "forecast.rs"
STREAM, REPLIES, GROUP, DEAD_LETTERS = "weather-requests", "weather-responses", "workers", "{weather-requests}:dlq"


def documented_forecast() -> dict:
    return json.loads(PROTOCOL.read_text(encoding="utf-8").split("```json\n")[1].split("```")[0])


def shape(value: object) -> object:
    """The names and types of a JSON value; text that is a moment or a date as such."""
    if isinstance(value, dict):
        return {name: shape(part) for name, part in value.items()}
    if isinstance(value, list):
        return [shape(part) for part in value]
    return re.sub(r"\d", "0", value) if isinstance(value, str) and re.match(r"\d{4}-\d\d-", value) else type(value)


class PythonWorkerTest(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        port = free_port()
        server = [redis_server.find(), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder.name]
        self.said: list[str] = []
        self.server = Child("redis", server)
        self.addCleanup(self.server.process.stdout.close)
        self.addCleanup(self.server.stop)
        wait_until(lambda: answers_ping(port), "Redis")
        self.folder = Path(folder.name)
        self.url = f"redis://127.0.0.1:{port}"
        self.redis = redis.Redis.from_url(self.url, decode_responses=True, protocol=2)
        self.addCleanup(self.redis.close)

    def worker(self, name: str = "py-1", before: str = "") -> Child:
        """Runs the block of the page; `before` is code that runs ahead of it."""
        env = {**os.environ, "REDIS_URL": self.url, "CONSUMER_GROUP": GROUP, "WORKER_NAME": name}
        env.update({"REQUEST_STREAM": STREAM, "REPLY_STREAM": REPLIES})
        code = PROTOCOL.read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]
        worker = Child("worker", [sys.executable, "-c", before + code], env, on_line=self.said.append)
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

    def test_it_leaves_the_group_when_it_stops(self) -> None:
        worker = self.worker()
        wait_until(lambda: self.redis.exists(STREAM) and self.redis.xinfo_groups(STREAM), "the group")
        wait_until(lambda: self.redis.xinfo_consumers(STREAM, GROUP), "the consumer")

        worker.stop()

        self.assertEqual(self.redis.xinfo_consumers(STREAM, GROUP), [])

    def test_a_request_is_answered_and_then_acknowledged(self) -> None:
        request_id = self.request()

        self.worker()

        wait_until(self.nothing_is_left, "the acknowledgement")
        (reply,) = self.replies()
        self.assertEqual((reply["id"], reply["status"]), (request_id, "200"))
        self.assertEqual((reply["worker"], reply["attempt"]), ("py-1", "1"))
        self.assertGreaterEqual(int(reply["work_us"]), 0)
        answer = json.loads(reply["body"])
        self.assertEqual((answer["city"], answer["requestId"]), ("Oslo", request_id))

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
        self.worker()
        wait_until(lambda: self.redis.exists(STREAM) == 1, "the group")
        fields = {"id": str(uuid.uuid4()), "reply_to": REPLIES, "body": '{"city": "Oslo", "location": ""}'}
        # At once: afterwards the server takes neither this request nor its reply.
        self.redis.pipeline().xadd(STREAM, fields).execute_command("CONFIG", "SET", "maxmemory", "1").execute()
        wait_until(lambda: any("memory" in line for line in self.said), "the refusal")
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

        wait_until(self.nothing_is_left, "the acknowledgement")
        self.assertEqual(len(self.replies()), 1)

    def test_a_busy_worker_gives_a_sign_of_life(self) -> None:
        """Busy, because a blocked read is a sign of life itself on Valkey and on Redis from 7.2 on."""

        def idle() -> int:
            return next((c["idle"] for c in self.redis.xinfo_consumers(STREAM, GROUP)), 0)

        busy = self.folder / "busy"
        busy.touch()
        self.redis.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
        self.request()
        # The work reads its body, and takes as long as the file exists.
        self.worker(
            before="import json, os, time\n"
            "read = json.loads\n"
            "def loads(body):\n"
            f"    while os.path.exists({str(busy)!r}): time.sleep(0.05)\n"
            "    return read(body)\n"
            "json.loads = loads\n"
        )
        wait_until(lambda: self.redis.xpending(STREAM, GROUP)["pending"] == 1, "the delivery")
        wait_until(lambda: idle() > 1_500, "a consumer that has been silent for a while")

        wait_until(lambda: idle() < 1_000, "a heartbeat", 10)

        self.assertEqual(self.replies(), [], "the work goes on meanwhile")
        pending = self.redis.xpending_range(STREAM, GROUP, "-", "+", 1)[0]
        self.assertEqual(pending["times_delivered"], 1, "a heartbeat is no delivery")
        busy.unlink()
        wait_until(self.nothing_is_left, "the acknowledgement")

    def test_a_dead_letter_keeps_a_thousand_fields_and_counts_the_others(self) -> None:
        fields = {f"f{number}": number for number in range(20_000)}
        self.redis.xadd(STREAM, fields)
        request_id = self.request()

        self.worker()

        wait_until(self.nothing_is_left, "the acknowledgement")
        (letter,) = self.dead_letters()
        self.assertEqual((letter["dlq_fields_left_out"], letter["f999"]), ("19000", "999"))
        self.assertEqual(sum(name.startswith("f") for name in letter), 1_000)
        self.assertEqual([reply["id"] for reply in self.replies()], [request_id])

    def test_a_dead_letter_that_is_refused_holds_up_nobody(self) -> None:
        self.redis.set(DEAD_LETTERS, "not a stream")
        self.redis.xadd(STREAM, {"noise": "1"})
        told = self.request(body="no JSON", deadline=None)
        request_id = self.request()

        self.worker()

        wait_until(lambda: "200" in [reply["status"] for reply in self.replies()], "the answer")
        self.assertEqual([(r["id"], r["status"]) for r in self.replies()], [(told, "502"), (request_id, "200")])
        self.assertEqual(self.redis.xpending(STREAM, GROUP)["pending"], 2, "what is not stored stays pending")
        self.assertRegex("\n".join(self.said), r"dlq fails: .*WRONGTYPE")

        self.redis.delete(DEAD_LETTERS)

        wait_until(self.nothing_is_left, "the burial", 20)
        self.assertEqual({letter.get("noise", letter.get("body")) for letter in self.dead_letters()}, {"1", "no JSON"})
        wait_until(lambda: len(self.said) > 1, "the second line")
        self.assertEqual(len(self.said), 2, self.said)
        self.assertIn("works again", self.said[1])

    def test_a_deadline_of_thousands_of_digits_is_none(self) -> None:
        self.request(deadline="9" * 5_000)

        self.worker()

        wait_until(self.nothing_is_left, "the acknowledgement")
        self.assertEqual([reply["status"] for reply in self.replies()], ["200"])

    def test_an_outage_and_its_end_are_told_once(self) -> None:
        self.worker()
        wait_until(lambda: self.redis.exists(STREAM) == 1, "the group")
        cannot = ["CONFIG", "SET", "maxmemory", "1"]
        fields = {"id": str(uuid.uuid4()), "reply_to": REPLIES, "body": '{"city": "Oslo"}'}
        self.redis.pipeline().xadd(STREAM, fields).execute_command(*cannot).execute()
        refused = lambda: self.redis.info("errorstats").get("errorstat_OOM", {"count": 0})["count"]  # noqa: E731
        wait_until(lambda: refused() > 3, "several attempts")

        self.redis.config_set("maxmemory", "0")

        wait_until(lambda: len(self.said) > 1, "the recovery")
        self.assertRegex(self.said[0], "^Redis fails: .*memory")
        self.assertEqual(self.said[1:], ["Redis works again"])

    def test_the_answer_has_the_documented_shape(self) -> None:
        self.request(body='{"city": " Oslo ", "location": null}')
        self.request(body='{"city": "Oslo", "location": "Frogner"}')

        self.worker()

        wait_until(self.nothing_is_left, "the acknowledgement")
        without, answer = (json.loads(reply["body"]) for reply in self.replies())
        self.assertEqual(shape(answer), shape(documented_forecast()))
        self.assertEqual((without["city"], "location" in without), ("Oslo", False))

    def test_the_documented_forecast_is_the_one_of_the_api(self) -> None:
        example = re.search(r"example = json!\((\{.*?\})\)\)\]", FORECAST.read_text(encoding="utf-8"), re.DOTALL)

        self.assertEqual(documented_forecast(), json.loads(example[1]))

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


if __name__ == "__main__":
    unittest.main()
