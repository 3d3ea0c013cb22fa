"""Starts the whole product on this machine, shows its logs, and stops it again on Ctrl-C.

    make up                                   or: python3 scripts/up.py
    REDIS_URL=redis://host:6379 make up       use a running Redis, start none
    INGRESS_LISTEN=127.0.0.1:8080 make up     another port; also INGRESS_ADMIN_LISTEN,
                                              PROXY_LISTEN and REDIS_PORT

Redis keeps its data in .data/redis, Valkey in .data/valkey. Standard library only, Python 3.9 or newer.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import cargo
from processes import Child, Interrupted, StartError
from stack import Stack

ROOT = Path(__file__).resolve().parent.parent
PLACE = {"city": "New York", "location": "Downtown"}
COLOURS = {"redis": "35", "proxy": "36", "ingress": "32"}

_print_lock = threading.Lock()


def main() -> int:
    options = _arguments()
    stack = Stack(os.environ, options.bin_dir or Path(), options.data_dir)
    _stop_on_signals(stack)
    try:
        stack.check_ports()
        if options.bin_dir is None:
            say("building ingress and proxy")
            stack.binaries = cargo.build(stack.stop_asked)
        stack.start(say)
        welcome(stack)
        stream_logs(stack)
        stack.wake.wait()
        ended = stack.ended()
        if ended is not None and not stack.stop_asked.is_set():
            raise StartError(ended.obituary())
        return 0
    except Interrupted:
        return 0
    except StartError as problem:
        say(str(problem))
        return 1
    finally:
        stack.stop(say)
        say("stopped")


def welcome(stack: Stack) -> None:
    """Where everything is, and one real answer."""
    gateway = stack.url("INGRESS_LISTEN")
    request = f"{gateway}/WeatherForecast/city"
    body = json.dumps(PLACE)
    say(
        f"""
Streamgate is up.

  Gateway            {request}
  Swagger            {gateway}/swagger
  Gateway metrics    {stack.url("INGRESS_ADMIN_LISTEN")}/metrics
  Proxy operations   {stack.url("PROXY_LISTEN")}/swagger
  Redis              {stack.redis_url}

  curl -s {request} -H 'content-type: application/json' -d '{body}'
"""
    )
    say(_indent(_ask(stack, request, body)))
    stream = stack.env.get("REQUEST_STREAM") or "weather-requests"
    say(
        f"""
  redis-cli -u {stack.redis_url} XREVRANGE {stream} + - COUNT 1

Ctrl-C stops everything; a second one kills it.
"""
    )


def _ask(stack: Stack, url: str, body: str) -> str:
    """Sends the request of the curl line; the answer, or what went wrong instead.

    On a thread, so that Ctrl-C does not wait for it."""
    answer = []

    def ask() -> None:
        request = urllib.request.Request(url, body.encode(), {"content-type": "application/json"})
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        start = time.monotonic()
        try:
            with opener.open(request, timeout=60) as response:
                text = json.dumps(json.load(response), indent=2, ensure_ascii=False)
            answer.append(f"{text}\n\n({(time.monotonic() - start) * 1000:.0f} ms)")
        except urllib.error.HTTPError as error:
            answer.append(f"HTTP {error.code}: {error.read().decode(errors='replace')}")
        except (OSError, ValueError) as error:
            answer.append(f"no answer: {error}")

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    while thread.is_alive() and not stack.wake.is_set():
        thread.join(0.1)
    return answer[0] if answer else "no answer yet"


def stream_logs(stack: Stack) -> None:
    """From here on every line of every child, behind its name."""
    width = max(len(child.name) for child in stack.children)
    for child in stack.children:
        child.on_line = lambda line, prefix=_prefix(child, width): say(prefix + line)


def _prefix(child: Child, width: int) -> str:
    plain = f"{child.name:<{width}} | "
    coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    return f"\x1b[{COLOURS[child.name]}m{plain}\x1b[0m" if coloured else plain


def say(text: str) -> None:
    """Prints whole lines. A reader that went away is no reason to leave processes behind."""
    with _print_lock:
        try:
            print(text, flush=True)
        except OSError:
            pass


def _indent(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())


def _stop_on_signals(stack: Stack) -> None:
    """The first signal asks for an orderly stop, a second Ctrl-C ends everything now.

    A second SIGTERM is no such wish: make passes on the one that its whole group received."""
    interrupts = 0

    def on_signal(number: int, _frame: object) -> None:
        nonlocal interrupts
        interrupts += number == signal.SIGINT
        if number == signal.SIGINT and interrupts > 1:
            stack.kill()
            os._exit(130)
        stack.stop_asked.set()
        stack.wake.set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, on_signal)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin-dir", type=Path, help="take ingress and proxy from here instead of building them")
    parser.add_argument("--data-dir", type=Path, default=ROOT / ".data", help="where servers keep their data")
    options = parser.parse_args()
    options.data_dir = options.data_dir.resolve()
    return options


if __name__ == "__main__":
    sys.exit(main())
