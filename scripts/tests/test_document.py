"""Where a run puts what it has seen."""

from __future__ import annotations

import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from document import put  # noqa: E402


class Document(unittest.TestCase):
    def test_only_what_is_between_the_markers_changes(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            document = Path(folder) / "PERFORMANCE.md"
            begin, end = "<!-- it: begin -->", "<!-- it: end -->"
            document.write_text(f"before\n{begin}\nold\n{end}\nafter\n")

            put(document, "it", "new")
            put(document, "it", "newer")

            self.assertEqual(document.read_text(), f"before\n{begin}\nnewer\n{end}\nafter\n")
            document.write_text("no markers")
            self.assertRaises(ValueError, put, document, "it", "new")


if __name__ == "__main__":
    unittest.main()
