"""A little load of every kind for a test: callers who are answered, shed or wrong, and entries nobody can read.

Standard library only, Python 3.9 or newer.
"""

from __future__ import annotations

import http.client
import json
import socket
import threading

CALLERS = 12
BODIES = [json.dumps({"city": city, "location": "Downtown"}) for city in ("New York", "Oslo", "Lima")] + ["{", "{}"]
# How often a caller comes, and how often somebody puts something else on the stream, in seconds.
PAUSE, NONSENSE_PAUSE = 0.01, 0.5


class Load:
    """Runs inside a `with`."""

    def __init__(self, gateway: str, redis_port: int, stream: str = "weather-requests") -> None:
        self._host = gateway.removeprefix("http://")
        self._redis = ("127.0.0.1", redis_port)
        self._stream = stream
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._call, args=(number,)) for number in range(CALLERS)]
        self._threads.append(threading.Thread(target=self._add_nonsense))

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _call(self, number: int) -> None:
        connection = http.client.HTTPConnection(self._host, timeout=10)
        asked = number
        while not self._stop.wait(PAUSE):
            asked += 1
            try:
                headers = {"content-type": "application/json"}
                connection.request("POST", "/WeatherForecast/city", BODIES[asked % len(BODIES)], headers)
                connection.getresponse().read()
            except (OSError, http.client.HTTPException):
                connection.close()

    def _add_nonsense(self) -> None:
        """An entry that is no request becomes a dead letter."""
        words = ["XADD", self._stream, "*", "what", "is this"]
        command = f"*{len(words)}\r\n" + "".join(f"${len(word)}\r\n{word}\r\n" for word in words)
        while not self._stop.wait(NONSENSE_PAUSE):
            try:
                with socket.create_connection(self._redis, timeout=5) as connection:
                    connection.sendall(command.encode())
                    connection.recv(256)
            except OSError:
                pass
