"""Finding a PostgreSQL server, with stand-ins for the machine."""

from __future__ import annotations

import os
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import postgres_server  # noqa: E402


class Finding(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name).resolve()

    def programs(self, name: str) -> Path:
        folder = self.folder / name
        folder.mkdir(parents=True)
        for program in postgres_server.PROGRAMS:
            (folder / program).write_text("#!/bin/sh\n")
            (folder / program).chmod(0o755)
        return folder

    def test_the_folder_that_is_named_is_taken(self) -> None:
        named = self.programs("named")

        with mock.patch.dict(os.environ, {"STREAMGATE_TEST_POSTGRES": str(named)}):
            self.assertEqual(postgres_server.find(), named)
        with mock.patch.dict(os.environ, {"STREAMGATE_TEST_POSTGRES": str(self.folder)}):
            self.assertRaises(postgres_server.NotFound, postgres_server.find)

    def test_links_on_the_path_lead_to_the_folder(self) -> None:
        real, path = self.programs("real"), self.folder / "path"
        path.mkdir()
        for program in postgres_server.PROGRAMS:
            (path / program).symlink_to(real / program)

        with mock.patch.dict(os.environ, {"PATH": str(path)}):
            self.assertEqual(postgres_server.find(), real)

    def test_the_newest_of_debians_versions_is_taken(self) -> None:
        self.programs("9.6/bin")
        newest = self.programs("15/bin")
        (self.folder / "17/bin").mkdir(parents=True)

        self.assertEqual(postgres_server._newest(self.folder), newest)
        self.assertIsNone(postgres_server._newest(self.folder / "nowhere"))

    def test_without_apt_it_says_what_to_install(self) -> None:
        nowhere = mock.patch.object(postgres_server, "VERSIONS", self.folder)
        with nowhere, mock.patch("shutil.which", return_value=None):
            with self.assertRaises(postgres_server.NotFound) as raised:
                postgres_server.find()

        self.assertIn("apt install postgresql", str(raised.exception))


if __name__ == "__main__":
    unittest.main()
