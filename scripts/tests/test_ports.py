"""Free ports."""

from __future__ import annotations

import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from ports import free_port  # noqa: E402


class FreePortTest(unittest.TestCase):
    def test_no_port_is_given_twice(self) -> None:
        ports = [free_port() for _ in range(3_000)]

        self.assertEqual(len(set(ports)), len(ports))


if __name__ == "__main__":
    unittest.main()
