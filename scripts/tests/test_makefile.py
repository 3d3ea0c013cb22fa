"""`make clean` in a copy of the parts it looks at."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


class Clean(unittest.TestCase):
    def test_what_python_left_behind_goes_and_the_scripts_stay(self) -> None:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            shutil.copy(ROOT / "Makefile", folder)
            for cache in ("scripts/__pycache__", "scripts/tests/__pycache__", ".venv/bin", ".tools/prometheus"):
                (folder / cache).mkdir(parents=True)
                (folder / cache / "left").touch()
            (folder / "scripts" / "images.py").touch()

            made = subprocess.run(
                ["make", "clean", "CARGO=true"], cwd=folder, capture_output=True, text=True, check=False
            )

            self.assertEqual(made.returncode, 0, made.stdout + made.stderr)
            left = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
            self.assertEqual(left, ["Makefile", "scripts/images.py"])


if __name__ == "__main__":
    unittest.main()
