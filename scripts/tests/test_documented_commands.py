"""Every block of commands in the README and in the pages on operations and deployment, run on one real stack.

A block that cannot run here has the reason in a comment before it: `<!-- not run here: needs a cluster -->`.
Blocks of another language (```text, ```json) are no commands.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import unittest
from pathlib import Path

import tools

from resp import Connection

PAGES = ("README.md", "docs/OPERATIONS.md", "docs/DEPLOYMENT.md")
BLOCK = re.compile(r"^(?:<!-- ([^\n]*) -->\n)?```(\w*)\n(.*?)^```$", re.M | re.S)
PORTS = {"5009": "INGRESS", "9009": "INGRESS_ADMIN", "5010": "PROXY"}


def blocks(text: str) -> list[tuple[str | None, str]]:
    """The comment and the commands of each block that is for a shell."""
    return [(comment, code) for comment, language, code in BLOCK.findall(text) if language in ("", "sh", "bash", "console")]


def refusal(comment: str) -> str:
    """Why a block is not run; an empty text if the comment gives no reason."""
    return (re.fullmatch(r"not run here: (\S.*)", comment) or ("", ""))[1]


class Marks(unittest.TestCase):
    def test_a_mark_needs_a_reason(self) -> None:
        self.assertEqual(refusal("not run here: needs a cluster"), "needs a cluster")
        for comment in ("", "not run here:", "not run here: ", "not run"):
            self.assertEqual(refusal(comment), "")

    def test_a_mark_belongs_to_the_block_behind_it(self) -> None:
        text = "<!-- not run here: a -->\n```\none\n```\n```text\nno command\n```\n```sh\ntwo\n```\n"

        self.assertEqual(blocks(text), [("not run here: a", "one\n"), ("", "two\n")])

    def test_every_mark_stands_before_a_block_of_commands(self) -> None:
        for page in PAGES:
            text = (tools.ROOT / page).read_text(encoding="utf-8")

            marked = [comment for comment, _ in blocks(text) if comment]

            self.assertEqual(text.count("<!-- not run"), len(marked), page)
            self.assertTrue(all(map(refusal, marked)), f"{page}: {marked}")


class Commands(unittest.TestCase):
    def setUp(self) -> None:
        cli = next(filter(None, map(shutil.which, ("redis-cli", "valkey-cli"))), None)
        if cli is None:
            tools.missing("no redis-cli on PATH (Debian: apt install redis-tools)")
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.env = tools.stack(self, ADMIN_TOKEN="a-token-for-this-test")
        port = self.env["REDIS_URL"].rpartition(":")[2]
        # What a person had told a process in order to have it listen there.
        for name in PORTS.values():
            self.env[f"{name}_LISTEN"] = self.env[f"{name}_URL"].removeprefix("http://")
        # An error of Redis is one of the command, and an answer that refuses shows its status.
        self.wrap("redis-cli", f'exec {cli} -e -p {port} "$@"')
        self.wrap("curl", f'exec {shutil.which("curl")} -w "%{{stderr}}HTTP %{{http_code}}\\n" "$@"')
        (self.folder / "target").mkdir()
        (self.folder / "target" / "up").symlink_to(self.env["STACK_BINARIES"])
        with Connection(int(port)) as redis:
            redis.call("XADD", "{weather-requests}:dlq", "1763683200000-0", "reason", "panicked: for this test")

    def wrap(self, name: str, line: str) -> None:
        path = self.folder / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{line}\n")
        path.chmod(0o755)

    def test_every_block_that_is_not_marked_runs(self) -> None:
        env = {**self.env, "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}"}
        ran = 0
        for page in PAGES:
            for comment, code in blocks((tools.ROOT / page).read_text(encoding="utf-8")):
                if comment:
                    continue
                for port, name in PORTS.items():
                    own = self.env[f"{name}_LISTEN"]
                    code = re.sub(rf"\b(?:localhost|127\.0\.0\.1):{port}\b", own, code)
                with self.subTest(page=page, commands=code):
                    said = tools.run("bash", "-euo", "pipefail", "-c", code, cwd=self.folder, env=env, timeout=60)
                    # 404: what the page names by its id is not there.
                    refused = set(re.findall(r"^HTTP (?!200|404)\d+", said, re.M))
                    self.assertFalse(refused, said)
                ran += 1
        self.assertGreater(ran, 10)


if __name__ == "__main__":
    unittest.main()
