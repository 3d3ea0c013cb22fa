"""Every block of the guides: each crate is written down elsewhere, built and run on a real Redis server.

The build takes the versions of the workspace's Cargo.lock and, where they fit, what the workspace has built already.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import unittest
from pathlib import Path

import tools

import cargo
import redis_server
from ports import free_port
from processes import Child, answers_ping, wait_until


def blocks_of(page: str) -> list[tuple[str, str]]:
    text = (tools.ROOT / "docs" / page).read_text(encoding="utf-8")
    return re.findall(r"^```(\w+)\n(.*?)^```$", text, re.M | re.S)


class Guides(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name).resolve()
        port = free_port()
        self.start("redis", [redis_server.find(), "--port", str(port), "--save", "", "--dir", self.folder])
        wait_until(lambda: answers_ping(port), "Redis")
        # The workspace's own settings of the build: with others everything would be built again.
        self.env = {
            **os.environ,
            "CARGO_TARGET_DIR": str(cargo.binaries("debug").parent),
            "CARGO_NET_OFFLINE": "true",
            "CARGO_PROFILE_DEV_DEBUG": "line-tables-only",
            "REDIS_URL": f"redis://127.0.0.1:{port}",
        }

    def start(self, name: str, command: list[str | Path]) -> Child:
        child = Child(name, command, getattr(self, "env", None))
        self.addCleanup(child.process.stdout.close)
        self.addCleanup(child.stop)
        return child

    def build(self, name: str, blocks: list[tuple[str, str]]) -> dict:
        """Writes the files of the crate `name` and builds them; returns where and how to run its programs."""
        for language, text in blocks:
            if language in ("toml", "rust"):
                path = self.folder / re.match(r"(?:#|//) (\S+/\S+)\n", text)[1]
                path.parent.mkdir(parents=True, exist_ok=True)
                # With its own name for the clone cargo knows the library that it has built.
                path.write_text(text.replace('"../streamgate/', f'"{tools.ROOT}/'))
        shutil.copy(tools.ROOT / "Cargo.lock", self.folder / name)
        within = {"cwd": self.folder / name, "env": self.env}
        self.addCleanup(tools.run, "cargo", "clean", "-p", name, **within)
        tools.run("cargo", "build", "--bins", **within)
        return within

    def test_a_service_of_ones_own(self) -> None:
        blocks = blocks_of("YOUR_OWN_SERVICE.md")
        (worker, requester), (expected,) = ([t for name, t in blocks if name == wanted] for wanted in ("sh", "json"))
        within = self.build("hello", blocks)

        self.start("worker", ["sh", "-c", f"cd '{self.folder}/hello' && exec {worker}"])
        answer = tools.run("sh", "-c", f"{requester.strip()} 2>errors", timeout=60, **within)

        self.assertEqual(answer, expected)

    def test_one_program_with_all_of_streams(self) -> None:
        blocks = blocks_of("STREAMS.md")
        (expected,) = (text for name, text in blocks if name == "text")
        within = self.build("billing", blocks)

        for run in ("the first run", "a run after another", "one more"):
            printed = tools.run("cargo", "run", "-q", timeout=60, **within)

            self.assertEqual(printed, expected, run)

    def test_the_lines_of_a_process_are_those_of_a_documentation_test(self) -> None:
        page = (tools.ROOT / "docs" / "STREAMS.md").read_text(encoding="utf-8")
        tested = (tools.ROOT / "shared" / "service" / "src" / "operations.rs").read_text(encoding="utf-8")

        (lines,) = re.findall(r"^```rust,ignore\n(.*?)^```$", page, re.M | re.S)

        self.assertIn("".join(f"/// {line}\n" for line in lines.splitlines()), tested)


if __name__ == "__main__":
    unittest.main()
