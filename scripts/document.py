"""Puts what a run has seen into a document, in the place of what the run before has seen.

Standard library only, Python 3.9 or newer.
"""

from __future__ import annotations

from pathlib import Path


def put(document: Path, name: str, text: str) -> None:
    """Puts the text between the markers of this name; the rest stays as it is."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    whole = document.read_text(encoding="utf-8")
    before, found, rest = whole.partition(begin)
    _, found_too, after = rest.partition(end)
    if not (found and found_too):
        raise ValueError(f"{document} has no lines {begin} and {end}: put them where the result is to be")
    document.write_text(f"{before}{begin}\n{text}\n{end}{after}", encoding="utf-8")
