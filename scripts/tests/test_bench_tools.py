"""Finding wrk and nats-server, with stand-ins for apt and the packages."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import bench_tools  # noqa: E402
import debian  # noqa: E402


class Finding(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def test_a_program_on_the_path_is_taken(self) -> None:
        program = self.folder / "wrk"
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)

        with mock.patch.dict(os.environ, {"PATH": str(self.folder)}):
            found = bench_tools.find("wrk", self.folder / "tools")

        self.assertEqual(found, program)

    def test_an_unpacked_one_runs_with_the_libraries_beside_it(self) -> None:
        program = self.folder / "wrk" / "usr" / "bin" / "wrk"
        (self.folder / "wrk" / "usr" / "lib" / "x86_64-linux-gnu").mkdir(parents=True)
        program.parent.mkdir(parents=True)
        program.write_text('#!/bin/sh\necho "$LD_LIBRARY_PATH $1"\n')
        program.chmod(0o755)

        with mock.patch("shutil.which", return_value=None):
            found = bench_tools.find("wrk", self.folder)

        said = subprocess.run([str(found), "-t1"], stdout=subprocess.PIPE, text=True, check=True).stdout
        self.assertEqual(said, f"{self.folder.resolve()}/wrk/usr/lib/x86_64-linux-gnu -t1\n")

    def test_without_apt_it_says_what_to_install(self) -> None:
        with mock.patch("shutil.which", return_value=None), self.assertRaises(bench_tools.NotFound) as raised:
            bench_tools.find("nats-server", self.folder)

        self.assertIn("apt install nats-server", str(raised.exception))

    def test_packages_are_downloaded_and_unpacked_together(self) -> None:
        def apt(command: list[str], work: Path) -> None:
            if command[0] == "apt-get":
                (work / "wrk_4_amd64.deb").touch()
            else:
                (work / "unpacked" / "usr" / "bin").mkdir(parents=True, exist_ok=True)
                program = work / "unpacked" / "usr" / "bin" / "wrk"
                program.touch()
                program.chmod(0o755)

        with mock.patch("shutil.which", return_value="/usr/bin/it"), mock.patch.object(debian, "_run", apt):
            folder = debian.unpacked("wrk", ["wrk"], ["usr/bin/wrk"], self.folder)

        self.assertTrue(os.access(folder / "usr" / "bin" / "wrk", os.X_OK))


if __name__ == "__main__":
    unittest.main()
