"""A network that a test can cut: passes the bytes of TCP connections on, until it is told not to.

Standard library only, Python 3.9 or newer.
"""

from __future__ import annotations

import socket
import threading
import urllib.parse


class Relay:
    """Passes connections on to the server at `target`, which may be changed."""

    def __init__(self, target: str) -> None:
        self.target = target
        self._is_cut = False
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = "http://127.0.0.1:{}".format(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Breaks every connection and every attempt to make one."""
        with self._lock:
            self._is_cut = True
            for connection in self._open:
                _break(connection)
            self._open.clear()

    def mend(self, target: str) -> None:
        """Passes connections on again, now to `target`."""
        with self._lock:
            self._is_cut, self.target = False, target

    def _accept(self) -> None:
        while True:
            near, _ = self._listener.accept()
            with self._lock:
                if self._is_cut:
                    near.close()
                    continue
                place = urllib.parse.urlsplit(self.target)
                try:
                    far = socket.create_connection((place.hostname, place.port), timeout=10)
                except OSError:
                    near.close()
                    continue
                far.settimeout(None)
                self._open |= {near, far}
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=self._pass_on, args=(one, other), daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65_536):
                sink.sendall(data)
        except OSError:
            pass  # One of the two is gone, so the other one goes, too.
        with self._lock:
            self._open -= {source, sink}
        _break(source)
        _break(sink)


def _break(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # It is gone already.
    connection.close()
