"""A reverse proxy for tests: ends TLS, strips a prefix from the path and passes on the rest as it is.

Standard library only, Python 3.9 or newer; the certificate comes from the `openssl` program.
"""

from __future__ import annotations

import http.client
import http.server
import shutil
import ssl
import subprocess
import threading
import urllib.parse
from pathlib import Path

# What concerns one connection only (RFC 9110, 7.6.1), and what the server here writes itself.
HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "date", "server"}


class PrefixProxy:
    """Shows the server at `target` below `prefix`: over TLS if there is an `openssl` to make a certificate.

    No header of an answer is rewritten, so a location that does not suit the prefix leads nowhere.
    """

    def __init__(self, target: str, prefix: str, folder: Path) -> None:
        class Handler(_Handler):
            host = urllib.parse.urlsplit(target).netloc
            below = prefix

        self._server = _Server(("127.0.0.1", 0), Handler)
        certificate = _certificate(folder)
        scheme = "http" if certificate is None else "https"
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            # The thread of a connection shakes hands, so a slow one keeps nobody waiting.
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.url = f"{scheme}://127.0.0.1:{self._server.server_address[1]}{prefix}"

    def __enter__(self) -> PrefixProxy:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(http.server.ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """A browser ends connections as it likes; if that loses an answer, the test notices."""


class _Handler(http.server.BaseHTTPRequestHandler):
    host = ""
    below = ""

    def _pass_on(self) -> None:
        if not self.path.startswith(f"{self.below}/"):
            self.send_error(404, f"nothing is shown outside {self.below}/")
            return
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        connection = http.client.HTTPConnection(self.host, timeout=60)
        try:
            connection.request(self.command, self.path[len(self.below) :], body, dict(self.headers))
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in HOP_BY_HOP:
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_DELETE = _pass_on

    def log_message(self, *_: object) -> None:
        """The test says what went wrong."""


def _certificate(folder: Path) -> Path | None:
    """Key and certificate of 127.0.0.1 in one file; None without the program that makes them."""
    openssl = shutil.which("openssl")
    if openssl is None:
        return None
    both = folder / "proxy.pem"
    command = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-days", "1", "-subj", "/CN=127.0.0.1", "-keyout", str(both), "-out", str(folder / "certificate.pem")]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    with both.open("a") as file:
        file.write((folder / "certificate.pem").read_text())
    return both
