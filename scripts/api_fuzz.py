"""Asks both APIs whatever their descriptions allow and forbid, and checks every answer against them.

    make fuzz-api                             make fuzz-api ARGS="--examples 200 --seed 7"

`stack run` starts the stack that it asks. The questions are schemathesis', from the pinned package in `.venv`:
requests that follow the schema, requests that break it, methods that are not described. Every check it has is on.
The same seed asks the same questions.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

import python_venv

DOCUMENT = "/api-docs/openapi.json"
# Schemathesis is at home in Python 3.11 and newer.
OLDEST_PYTHON = (3, 11)

# For each document, what its requests carry. The operations that change dead letters are off without a token.
DOCUMENTS = {
    "INGRESS_URL": {},
    "PROXY_URL": {"Authorization": f"Bearer {os.environ.get('ADMIN_TOKEN')}"},
}


def main() -> int:
    options = arguments()
    if sys.version_info < OLDEST_PYTHON:
        print("API fuzz test skipped: schemathesis needs Python {}.{} or newer".format(*OLDEST_PYTHON))
        return 0 if options.skip_without_python else 1
    try:
        python = python_venv.ensure("schemathesis")
        _store_something()
        refused = [name for name in DOCUMENTS if not holds(python, os.environ[name], DOCUMENTS[name], options)]
    except (OSError, python_venv.Unavailable) as problem:
        print(f"API fuzz test failed: {problem}")
        return 1
    if refused:
        print(f"API fuzz test failed: see what was found at {' and '.join(refused)}")
        return 1
    print("API fuzz test passed: nothing found")
    return 0


def holds(
    python: Path, url: str, headers: dict[str, str], options: argparse.Namespace, without: str | None = None
) -> bool:
    """Asks an API; False when an answer is none that its document describes. All checks are on, but `without`."""
    command = [
        str(python.parent / "schemathesis"),
        *("run", url + DOCUMENT, "--checks", "all", "--warnings", "off", "--no-color"),
        *("--max-examples", str(options.examples), "--seed", str(options.seed)),
        *("--generation-database", "none", "--request-timeout", "20"),
    ]
    if without:
        command += ["--exclude-checks", without]
    for header, value in headers.items():
        command += ["--header", f"{header}: {value}"]
    print(f"asking {url}{DOCUMENT}: {options.examples} examples an operation, seed {options.seed}", flush=True)
    # What it writes goes with the folder, and no configuration from elsewhere comes in.
    with tempfile.TemporaryDirectory() as folder:
        return subprocess.run(command, cwd=folder).returncode == 0


def _store_something() -> None:
    """One forecast, so that streams and their entries have something to show."""
    request = urllib.request.Request(
        os.environ["INGRESS_URL"] + "/WeatherForecast/city",
        data=b'{"city": "New York"}',
        headers={"content-type": "application/json"},
    )
    urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30).read()


def arguments(description: str | None = __doc__) -> argparse.Namespace:
    """The options on the command line."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=100, help="how many requests for each operation, about")
    parser.add_argument("--seed", type=int, default=20261121, help="which requests")
    parser.add_argument("--skip-without-python", action="store_true", help="an older Python is no failure")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
