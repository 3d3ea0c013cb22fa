"""Requests to the API of examples/events. Standard library only."""

from __future__ import annotations

import json
import os
import urllib.request

USERNAME = "admin"


def token() -> str:
    """A token of the account `admin`."""
    return post("/api/auth/login", {"username": USERNAME, "password": os.environ["EVENTS_ADMIN_PASSWORD"]})["token"]


def post(path: str, body: dict, headers: dict[str, str] | None = None) -> dict:
    """The JSON of the answer."""
    request = urllib.request.Request(
        os.environ["EVENTS_API_URL"] + path,
        data=json.dumps(body).encode(),
        headers={"content-type": "application/json", **(headers or {})},
    )
    answer = urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30)
    return json.loads(answer.read())
