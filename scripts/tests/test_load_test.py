"""`load-test.sh` with a stand-in for loadtest that prints its arguments."""

from __future__ import annotations

import os
import subprocess
import unittest
from pathlib import Path

SCRIPT = Path(__file__).resolve().parent.parent / "load-test.sh"


def run(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if name not in ("URL", "LOADTEST")}
    command = [str(SCRIPT), *arguments]
    return subprocess.run(command, env={**clean, "LOADTEST": "echo", **env}, capture_output=True, text=True)


class LoadTest(unittest.TestCase):
    def test_each_place_has_its_address_and_its_load(self) -> None:
        local = "--url http://127.0.0.1:5009 --count 5000 --concurrency 50\n"
        cluster = "--url http://redis-stream-demo.local --count 5000 --concurrency 100 --max-error-rate 1%\n"

        for arguments, expected in (((), local), (("local",), local), (("compose",), local), (("kubernetes",), cluster)):
            with self.subTest(arguments):
                self.assertEqual(run(*arguments).stdout, expected)

    def test_arguments_replace_the_load_and_url_the_address(self) -> None:
        for place in ((), ("kubernetes",)):
            with self.subTest(place):
                said = run(*place, "--mode", "rate", "--rate", "5", URL="http://h:1")

                self.assertEqual(said.stdout, "--url http://h:1 --mode rate --rate 5\n")

    def test_an_unknown_place_is_refused(self) -> None:
        said = run("cloud")

        self.assertEqual((said.returncode, said.stdout), (64, ""))
        self.assertIn("cloud is no place: use local, compose or kubernetes", said.stderr)

    def test_the_exit_code_is_the_load_generators(self) -> None:
        self.assertEqual(run(LOADTEST="false").returncode, 1)


if __name__ == "__main__":
    unittest.main()
