"""FastStream as a contestant of the trial `streams`.

    python bench/peers/faststream_peer.py append redis://127.0.0.1:6379 50000

`append` publishes in pipelines of 128. `consume` reads up to 128 entries at once and runs the handler for each of them;
`consume-batches` runs the handler once for what it has read, and acknowledges all of that with one command.
"""

import asyncio
import json
import logging
import re
import sys
import time
from pathlib import Path

from faststream.redis import RedisBroker, StreamSub
from pydantic import BaseModel

STREAM, GROUP, CONSUMER, BATCH = "orders", "billing", "host-1", 128


class Order(BaseModel):
    id: int
    customer: str
    item: str
    quantity: int
    price_cents: int


async def append(broker: RedisBroker, entries: int) -> None:
    async with broker:
        redis = await broker.connect()
        for start in range(0, entries, BATCH):
            async with redis.pipeline(transaction=False) as pipe:
                for number in range(start, min(start + BATCH, entries)):
                    customer = f"customer-{number % 999_983:06}"
                    order = Order(id=number, customer=customer, item="Darjeeling, 250 g", quantity=3, price_cents=1299)
                    await broker.publish(order, stream=STREAM, pipeline=pipe)
                await pipe.execute()


async def consume(broker: RedisBroker, entries: int, batch: bool) -> None:
    left, done = entries, asyncio.Event()
    stream = StreamSub(STREAM, group=GROUP, consumer=CONSUMER, max_records=BATCH, batch=batch, last_id="0")

    def finished(count: int) -> None:
        nonlocal left
        left -= count
        if left <= 0:
            done.set()

    if batch:
        @broker.subscriber(stream=stream)
        async def handle_all(orders: list[Order]) -> None:
            finished(len(orders))
    else:
        @broker.subscriber(stream=stream)
        async def handle(order: Order) -> None:
            finished(1)

    async with broker:
        await broker.start()
        await done.wait()


def main() -> None:
    phase, url, entries = sys.argv[1], sys.argv[2], int(sys.argv[3])
    broker = RedisBroker(url, logger=None, log_level=logging.ERROR)
    started, before = time.perf_counter(), time.process_time()
    if phase == "append":
        asyncio.run(append(broker, entries))
    else:
        asyncio.run(consume(broker, entries, batch=phase == "consume-batches"))
    seconds, cpu = time.perf_counter() - started, time.process_time() - before
    peak = int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1])
    print(json.dumps({"seconds": seconds, "cpu_seconds": cpu, "peak_kib": peak}))


if __name__ == "__main__":
    main()
