"""Asks the server that a REDIS_URL names for a sign of life, so that a wrong URL is told at once.

Never shows a password. Standard library only, Python 3.9 or newer.
"""

from __future__ import annotations

import socket
import ssl
from typing import BinaryIO
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

HOSTS = {"redis": False, "rediss": True, "valkey": False, "valkeys": True}
SOCKETS = ("unix", "redis+unix", "valkey+unix")


def problem(url: str, timeout: float = 5) -> str | None:
    """Why the server cannot be used; None if it can, or if the URL is of a kind unknown here."""
    try:
        parts = urlsplit(url)
        parts.port  # Raises where it is no number.
    except ValueError:
        # Its own text may quote a part of the password.
        return "not a URL; characters such as / @ : # in a password must be percent-encoded"
    if parts.scheme not in HOSTS and parts.scheme not in SOCKETS:
        return None
    where = _where(parts)
    try:
        with _connect(parts, timeout) as connection, connection.makefile("rb") as answers:
            return _greet(parts, where, connection, answers)
    except OSError as error:
        return f"cannot reach {where}: {error.strerror or error}"


def shown(url: str) -> str:
    """The URL without its password, for people."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "REDIS_URL"
    login, at, host = parts.netloc.rpartition("@")
    user, colon, _ = login.partition(":")
    return f"{parts.scheme}://{user}{':***' if colon else ''}{at}{host}{parts.path}"


def _where(parts: SplitResult) -> str:
    if parts.scheme in SOCKETS:
        return unquote(parts.path)
    host = parts.hostname or "127.0.0.1"
    return f"{f'[{host}]' if ':' in host else host}:{parts.port or 6379}"


def _connect(parts: SplitResult, timeout: float) -> socket.socket:
    if parts.scheme in SOCKETS:
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(timeout)
        try:
            connection.connect(unquote(parts.path))
        except OSError:
            connection.close()
            raise
        return connection
    host = parts.hostname or "127.0.0.1"
    connection = socket.create_connection((host, parts.port or 6379), timeout)
    if not HOSTS[parts.scheme]:
        return connection
    context = ssl.create_default_context()
    if parts.fragment == "insecure":
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        return context.wrap_socket(connection, server_hostname=host)
    except OSError:
        connection.close()
        raise


def _greet(parts: SplitResult, where: str, connection: socket.socket, answers: BinaryIO) -> str | None:
    """Logs in, chooses the database and sends PING, as the binaries will."""

    def ask(*words: str) -> str:
        text = "".join(f"${len(word.encode())}\r\n{word}\r\n" for word in words)
        connection.sendall(f"*{len(words)}\r\n{text}".encode())
        answer = answers.readline(1024)
        return answer.decode(errors="replace").strip() if answer[:1] in (b"+", b"-") else ""

    user, password, database = _login(parts)
    if password:
        answer = ask("AUTH", *([user] if user else []), password)
        # Not quoted: a server that has no AUTH repeats its arguments.
        if answer.startswith("-"):
            return f"{where} refuses the user name or the password ({answer[1:].partition(' ')[0]})"
    answer = ask("PING")
    if answer.startswith("-NOAUTH"):
        return f"{where} wants a password, and there is none"
    if not answer:
        return f"what answers at {where} is no Redis server, or wants TLS (rediss://)"
    if database and ask("SELECT", database).startswith("-ERR"):
        return f"{where} has no database {database}"
    return None


def _login(parts: SplitResult) -> tuple[str, str, str]:
    if parts.scheme in SOCKETS:
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        return query.get("user", ""), query.get("pass", ""), query.get("db", "")
    return unquote(parts.username or ""), unquote(parts.password or ""), parts.path.strip("/")
