"""A Streamgate worker in Python: takes requests from a Redis stream, puts replies on another.

    pip install redis && REDIS_URL=redis://127.0.0.1:6379 python3 worker.py

Start as many as you like, beside workers in other languages, each with its own WORKER_NAME; stop
one with SIGTERM. Your work goes into `work`. What takes longer than MIN_IDLE is taken for lost and
done again by another worker: keep the work short, or read fewer entries at a time.
"""

import json
import logging
import os
import random
import signal
import socket
import threading
import time
import uuid
from datetime import datetime, timedelta, timezone

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

STREAM = os.environ.get("REQUEST_STREAM", "weather-requests")
REPLIES = os.environ.get("REPLY_STREAM", "weather-responses")
GROUP = os.environ.get("CONSUMER_GROUP", "weather-workers")
NAME = os.environ.get("WORKER_NAME") or f"python-{socket.gethostname()}-{os.getpid()}"
DEAD_LETTERS = f"{STREAM}:dlq" if "{" in STREAM else f"{{{STREAM}}}:dlq"  # The same cluster slot.

BATCH, BLOCK, MIN_IDLE, HEARTBEAT = 8, 2_000, 2_000, 3  # entries, ms, ms, seconds
REQUEST_TIMEOUT = 30_000  # ms, for requests that name no deadline
LANE_TTL = 600  # seconds, so that the replies to a gateway that is gone go too
MAX_DELIVERIES = 5
PAST_THE_END = "18446744073709551615-18446744073709551614"

# One step, so that an entry is either pending or a dead letter; left alone if another worker has
# claimed it meanwhile. ARGV: group, consumer, entry id, names and values.
BURY = """
if not redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[3], ARGV[3], 1, ARGV[2])[1] then return false end
redis.call('XADD', KEYS[2], 'MAXLEN', '~', 10000, '*', unpack(ARGV, 4))
return redis.call('XACK', KEYS[1], ARGV[1], ARGV[3])
"""


def work(request_id: str, body: bytes) -> tuple:
    """The work itself: a status and an answer. An exception sends the request to the dead letters."""
    place, now = json.loads(body), datetime.now(timezone.utc)
    daily = []
    for day in range(5):
        low, high = random.randint(-5, 12), random.randint(13, 28)
        daily.append({"date": str((now + timedelta(days=day)).date()), "temperatureMin": low, "temperatureMax": high,
                      "temperatureC": high, "temperatureF": round(high * 1.8 + 32, 1), "summary": "Mild"})
    return 200, {"requestId": request_id, "city": place["city"], "location": place.get("location"),
                 "forecastTime": now.isoformat(), "temperature": daily[0]["temperatureC"], "condition": "Mild",
                 "humidity": 60, "windSpeed": 12.5, "daily": daily, "source": "simulated"}


def settle(r: redis.Redis, entry: bytes, fields: dict, attempt: int) -> None:
    """Does the work of one entry. It is acknowledged only when its reply is stored, its deadline
    has passed, or it has become a dead letter; anything else leaves it pending, to be done again."""
    request_id, reply_to, body = (fields.get(name) for name in (b"id", b"reply_to", b"body"))
    if not is_uuid(request_id):
        return bury(r, entry, fields, attempt, "undecodable: id is missing or no UUID of 36 characters")
    if not is_lane((reply_to or b"").decode(errors="replace")):
        return bury(r, entry, fields, attempt, f"reply_to is not {REPLIES} or one of its lanes")

    seconds, microseconds = r.time()  # Deadlines are in the server's clock.
    if seconds * 1000 + microseconds // 1000 >= deadline_of(entry, fields):
        r.xack(STREAM, GROUP, entry)  # Nobody waits any more.
        return None

    started, given_up = time.monotonic(), None
    if body is None:
        given_up, detail = "undecodable: body is missing", "the request could not be read"
    elif attempt > MAX_DELIVERIES:
        given_up = f"given up after {attempt - 1} deliveries"
        detail = "the work was tried too often without success"
    else:
        try:
            status, answer = work(request_id.decode(), body)
        except Exception as error:
            logging.exception("the work failed: %s", request_id.decode())
            given_up, detail = f"the work failed: {error!r}", "the work failed"
    if given_up:
        status = 502
        answer = {"title": "Bad Gateway", "status": status, "detail": detail, "requestId": request_id.decode()}

    reply = {"id": request_id, "status": status, "body": json.dumps(answer), "worker": NAME, "attempt": attempt,
             "content_type": "application/problem+json" if status >= 400 else "application/json",
             "work_us": int((time.monotonic() - started) * 1e6)}
    stored, _ = r.pipeline(transaction=False).xadd(reply_to, reply).expire(reply_to, LANE_TTL, nx=True) \
        .execute(raise_on_error=False)
    if "WRONGTYPE" in str(stored):  # This will never get better.
        given_up = given_up or f"the reply was refused: {stored}"
    elif isinstance(stored, Exception):
        raise stored
    if given_up:
        return bury(r, entry, fields, attempt, given_up)
    r.xack(STREAM, GROUP, entry)
    return None


def bury(r: redis.Redis, entry: bytes, fields: dict, attempt: int, reason: str) -> None:
    """Makes an entry a dead letter: kept for a person to look at, out of every worker's way."""
    logging.error("dead letter %s: %s", entry.decode(), reason)
    letter = {"dlq_reason": reason, "dlq_attempts": attempt, "dlq_origin_id": entry, "dlq_group": GROUP,
              "dlq_consumer": NAME, **fields}
    r.eval(BURY, 2, STREAM, DEAD_LETTERS, GROUP, NAME, entry, *(part for pair in letter.items() for part in pair))


def is_lane(name: str) -> bool:
    """Anything else could be somebody's key."""
    return name == REPLIES or (name.startswith(f"{REPLIES}.") and len(name) > len(REPLIES) + 1)


def deadline_of(entry: bytes, fields: dict) -> int:
    """In Unix milliseconds; a request that names none counts from its entry."""
    try:
        return int(fields[b"deadline"])
    except (KeyError, ValueError):
        return int(entry.split(b"-")[0]) + REQUEST_TIMEOUT


def is_uuid(text) -> bool:
    try:
        return str(uuid.UUID((text or b"").decode())) == text.decode().lower()
    except ValueError:
        return False


def serve(r: redis.Redis, stop: threading.Event) -> None:
    """Joins the group, finishes what an earlier life of this worker left, then takes new work."""
    try:
        r.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
    except redis.ResponseError as error:
        if "BUSYGROUP" not in str(error):
            raise
    own = "0"
    while own and not stop.is_set():
        entries = read(r, own)
        for entry, fields in entries:
            settle(r, entry, fields or {}, deliveries(r, entry))
        own = entries[-1][0] if entries else None
    claim_from = "0-0"
    while not stop.is_set():
        claim_from, left, *_ = r.xautoclaim(STREAM, GROUP, NAME, MIN_IDLE, claim_from, count=1)
        for entry, fields in left:  # By a worker that died; one at a time, it may be what killed it.
            settle(r, entry, fields, deliveries(r, entry))
        for entry, fields in read(r, ">", None if left else BLOCK):
            settle(r, entry, fields, 1)


def read(r: redis.Redis, after, block=None) -> list:
    """Up to BATCH entries: own pending ones after an id, or with ">" those nobody has had yet."""
    streams = r.xreadgroup(GROUP, NAME, {STREAM: after}, count=BATCH, block=block)
    return streams[0][1] if streams else []


def deliveries(r: redis.Redis, entry: bytes) -> int:
    pending = r.xpending_range(STREAM, GROUP, entry, entry, 1)
    return pending[0]["times_delivered"] if pending else 1


def heartbeat(r: redis.Redis, stop: threading.Event) -> None:
    """Tells that this worker is alive while it works or waits: a read of its own pending entries
    past the last possible id touches none of them but counts as a sign of life."""
    while not stop.wait(HEARTBEAT):
        try:
            r.xreadgroup(GROUP, NAME, {STREAM: PAST_THE_END}, count=1)
        except redis.RedisError:
            pass  # The main loop meets the same error and handles it.


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    stop, failures = threading.Event(), 0
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    # A blocking read must not be taken for a dead connection, and a retry is this loop's business.
    r = redis.Redis.from_url(os.environ.get("REDIS_URL", "redis://127.0.0.1:6379"), protocol=2,
                             socket_timeout=BLOCK / 1000 + 5, socket_connect_timeout=2, socket_keepalive=True,
                             retry=Retry(NoBackoff(), 0))
    threading.Thread(target=heartbeat, args=(r, stop), daemon=True).start()
    logging.info("%s takes requests from %s", NAME, STREAM)
    while not stop.is_set():
        started = time.monotonic()
        try:
            serve(r, stop)
        except redis.RedisError as error:  # Also a group or stream that vanished: `serve` makes it anew.
            failures = 1 if time.monotonic() - started > 10 else failures + 1
            pause = random.uniform(0, min(5, 0.1 * 2 ** failures))
            logging.warning("Redis: %s; again in %.1f s", error, pause)
            stop.wait(pause)
    logging.info("%s has stopped", NAME)


if __name__ == "__main__":
    main()
