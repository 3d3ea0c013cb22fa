"""Starts the whole product on this machine, shows its logs, and stops it again on Ctrl-C.

    make up                                   or: python3 scripts/up.py
    REDIS_URL=redis://host:6379 make up       use a running Redis, start none
    INGRESS_LISTEN=127.0.0.1:8080 make up     another port; also INGRESS_ADMIN_LISTEN,
                                              PROXY_LISTEN and REDIS_PORT
    INGRESS_LISTEN=0.0.0.0:5009 make up       open to the network; otherwise it is not
    ADMIN_TOKEN=... make up                   an admin token of yours; otherwise each run makes one

Redis keeps its data in .data/redis, Valkey in .data/valkey. Standard library only, Python 3.9 or newer.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import secrets
import shutil
import signal
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import cargo
from processes import Interrupted, StartError
from stack import Stack

ROOT = Path(__file__).resolve().parent.parent
PLACE = {"city": "New York", "location": "Downtown"}
COLOURS = {"redis": "35", "proxy": "36", "ingress": "32"}
WIDTH = max(map(len, COLOURS))

_print_lock = threading.Lock()


def main() -> int:
    options = _arguments()
    stack = Stack(os.environ, options.bin_dir or Path(), options.data_dir, show)
    _stop_on_signals(stack)
    try:
        stack.check_ports()
        stack.check_redis()
        if options.bin_dir is None:
            say("building ingress and proxy: minutes the first time, seconds later")
            stack.binaries = cargo.build(stack.stop_asked, profile="up", say=say)
        if not stack.env.get("ADMIN_TOKEN"):
            stack.env["ADMIN_TOKEN"] = secrets.token_hex(16)
        stack.start(say)
        welcome(stack)
        stack.wake.wait()
        ended = stack.ended()
        if ended is not None and not stack.stop_asked.is_set():
            raise StartError(ended.obituary())
        return 0
    except Interrupted as reason:
        if str(reason):
            say(str(reason))
        return 0
    except StartError as problem:
        say(str(problem))
        return 1
    finally:
        started = bool(stack.children)
        stack.stop(say)
        if started:
            say("stopped")


def welcome(stack: Stack) -> None:
    """Where everything is, and one real answer. Nothing if everything is to stop already."""
    gateway = stack.url("INGRESS_LISTEN")
    request = f"{gateway}/WeatherForecast/city"
    body = json.dumps(PLACE)
    has_keys = bool(stack.env.get("API_KEYS_FILE"))
    if has_keys:
        status = 200
        answer = (
            f"API keys are on ({stack.env['API_KEYS_FILE']}): put one in the place of KEY.\n"
            f"This makes one, and the line for that file: {stack.binaries / 'ingress'} new-key NAME"
        )
    else:
        say("sending a sample request")
        status, answer = _ask(stack, request, body)
    if stack.wake.is_set():
        return
    key = " -H 'authorization: Bearer KEY'" if has_keys else ""
    say(
        f"""
{"Streamgate is up." if status == 200 else "Streamgate is up, but the sample request failed."}

  Gateway            {request}
  Swagger            {gateway}/swagger
  Gateway metrics    {stack.url("INGRESS_ADMIN_LISTEN")}/metrics
  Proxy operations   {stack.url("PROXY_LISTEN")}/swagger
  Redis              {stack.redis_url}

  curl -s {request}{key} -H 'content-type: application/json' -d '{body}'
"""
    )
    say(_indent(answer))
    say(f"\n{_look(stack)}\n\nCtrl-C stops everything; a second one kills it.\n")


def _look(stack: Stack) -> str:
    """How to see the request on its stream. Secrets of the environment stay out of the terminal's history."""
    stream = stack.env.get("REQUEST_STREAM") or "weather-requests"
    token = '$ADMIN_TOKEN' if os.environ.get("ADMIN_TOKEN") else stack.env.get("ADMIN_TOKEN")
    path = f"{stack.url('PROXY_LISTEN')}/streams/{urllib.parse.quote(stream, safe='')}"
    lines = [f'  curl -s {path} -H "authorization: Bearer {token}"']
    cli = next(filter(shutil.which, ("redis-cli", "valkey-cli")), None)
    if cli is not None:
        url = stack.redis_url if stack.starts_redis else '"$REDIS_URL"'
        lines.append(f"  {cli} -u {url} XREVRANGE {stream} + - COUNT 1")
    return "\n".join(lines)


def _ask(stack: Stack, url: str, body: str) -> tuple[int, str]:
    """Sends the request of the curl line; the status and the answer, or 0 and what went wrong instead.

    On a thread, so that Ctrl-C does not wait for it."""
    answer: list[tuple[int, str]] = []

    def ask() -> None:
        request = urllib.request.Request(url, body.encode(), {"content-type": "application/json"})
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        start = time.monotonic()
        try:
            with opener.open(request, timeout=60) as response:
                text = json.dumps(json.load(response), indent=2, ensure_ascii=False)
            answer.append((response.status, f"{text}\n\n({(time.monotonic() - start) * 1000:.0f} ms)"))
        except urllib.error.HTTPError as error:
            answer.append((error.code, f"HTTP {error.code}: {error.read().decode(errors='replace')}"))
        except (OSError, ValueError, http.client.HTTPException) as error:
            answer.append((0, f"no answer: {error}"))

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    while thread.is_alive() and not stack.wake.is_set():
        thread.join(0.1)
    return answer[0] if answer else (0, "no answer yet")


def show(name: str, line: str) -> None:
    """Prints a line of a child behind its name."""
    prefix = f"{name:<{WIDTH}} | "
    if sys.stdout.isatty() and not os.environ.get("NO_COLOR"):
        prefix = f"\x1b[{COLOURS[name]}m{prefix}\x1b[0m"
    say(prefix + line)


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
