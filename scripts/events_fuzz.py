"""Asks the API of examples/events whatever its description allows and forbids, and checks every answer against it.

    make events-fuzz                          make events-fuzz ARGS="--examples 200 --seed 7"

`stack system events` starts what it asks. See api_fuzz.py.
"""

from __future__ import annotations

import os
import sys

import api_fuzz
import events_api
import python_venv


def main() -> int:
    options = api_fuzz.arguments(__doc__)
    if sys.version_info < api_fuzz.OLDEST_PYTHON:
        print("events fuzz test skipped: schemathesis needs Python {}.{} or newer".format(*api_fuzz.OLDEST_PYTHON))
        return 0 if options.skip_without_python else 1
    try:
        python = python_venv.ensure("schemathesis")
        headers = {"Authorization": f"Bearer {events_api.token()}"}
        events_api.post("/api/users", {"username": "grace", "email": "grace@example.org"}, headers)
        # The history of a user is meant to be there after the user was deleted.
        without = "use_after_free"
        good = api_fuzz.holds(python, os.environ["EVENTS_API_URL"], headers, options, without)
    except (OSError, python_venv.Unavailable) as problem:
        print(f"events fuzz test failed: {problem}")
        return 1
    print("events fuzz test " + ("passed: nothing found" if good else "failed"))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
