"""`make images` and `make compose-test` where there is no container engine."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parent.parent


class Engine(unittest.TestCase):
    def run_without(self, script: str, **programs: str) -> subprocess.CompletedProcess:
        """Runs a script where nothing is on PATH but these programs, each a line of shell."""
        with tempfile.TemporaryDirectory() as folder:
            for name, line in programs.items():
                program = Path(folder) / name
                program.write_text(f"#!/bin/sh\n{line}\n")
                program.chmod(0o755)
            return subprocess.run(
                [sys.executable, SCRIPTS / script], env={**os.environ, "PATH": folder}, capture_output=True, text=True
            )

    def test_neither_docker_nor_podman_is_said_with_the_way_out(self) -> None:
        for script in ("images.py", "compose_test.py"):
            done = self.run_without(script)

            self.assertEqual(done.returncode, 1)
            self.assertIn("no container engine: docker is not on PATH, podman is not on PATH. Install", done.stderr)

    def test_a_docker_without_its_engine_is_passed_over(self) -> None:
        done = self.run_without("images.py", docker="echo Client: 28.2.2; exit 1", podman="exit 125")

        self.assertEqual(done.returncode, 1)
        self.assertIn("docker does not answer, podman does not answer", done.stderr)


if __name__ == "__main__":
    unittest.main()
