"""What is counted as lost when Redis is killed, and the table that says how much it was.

Standard library only, Python 3.9 or newer.
"""

from __future__ import annotations

import statistics
from typing import NamedTuple, Sequence

# How loadtest names what a caller is allowed to see while Redis is away.
HONEST = ("http_503", "http_504")


class Loss(NamedTuple):
    """What one kill took: confirmed entries, and how old the oldest of them was, in milliseconds."""

    entries: int
    oldest_ms: float
    # Lost although a younger one is there: no setting may do that.
    holes: int


class Kill(NamedTuple):
    """One kill: what was confirmed before it, what of that was lost, and what callers saw."""

    confirmed: int
    loss: Loss
    report: dict

    def failed(self, kind: str) -> int:
        return sum(failure["count"] for failure in self.report["failures"] if failure["kind"] == kind)

    @property
    def dishonest(self) -> int:
        """A wrong answer, another status, or no answer at all."""
        return self.report["failed"] - sum(self.failed(kind) for kind in HONEST)


class Result(NamedTuple):
    """Of one setting: answers per second, round by round, and its kills."""

    name: str
    throughput: list[float]
    kills: list[Kill]
    # Whether a kill of the process may take something that was confirmed.
    may_lose: bool = True


def count(confirmed: Sequence[float], survived: set[int], killed: float) -> Loss:
    """Compares when each entry, numbered from 0, was confirmed with the numbers that are still there."""
    lost = [number for number in range(len(confirmed)) if number not in survived]
    if not lost:
        return Loss(0, 0.0, 0)
    youngest = max(survived, default=-1)
    # The last confirmation may be read while the signal is on its way.
    oldest_ms = max(killed - confirmed[lost[0]], 0.0) * 1000
    return Loss(len(lost), oldest_ms, sum(number < youngest for number in lost))


def broken(results: Sequence[Result]) -> list[str]:
    """Every promise that was not kept, as a sentence."""
    problems = []
    for result in results:
        holes = sum(kill.loss.holes for kill in result.kills)
        dishonest = sum(kill.dishonest for kill in result.kills)
        lost = sum(kill.loss.entries for kill in result.kills)
        if holes:
            problems.append(f"{result.name}: {holes} entries were lost although younger ones are there")
        if dishonest:
            problems.append(f"{result.name}: {dishonest} callers got neither a right answer nor 503 or 504")
        if lost and not result.may_lose:
            problems.append(f"{result.name}: {lost} confirmed entries were lost")
    return problems


def table(results: Sequence[Result]) -> str:
    """What was seen, as markdown; the first setting is what others are compared with."""
    head = ["Redis keeps", "throughput", "kills", "entries lost: median", "most", "oldest lost: median", "most"]
    head += ["callers: 200", "503", "504", "other"]
    lines = [_row(head), _row(["---"] + ["---:"] * (len(head) - 1))]
    for result in results:
        lost = [kill.loss.entries for kill in result.kills]
        oldest = [kill.loss.oldest_ms for kill in result.kills]
        cells = [result.name, _ratio(result.throughput, results[0].throughput), f"{len(lost)}"]
        cells += [f"{statistics.median(lost):,.0f}", f"{max(lost):,}"]
        cells += [_milliseconds(statistics.median(oldest)), _milliseconds(max(oldest))]
        requests = sum(kill.report["requests"] for kill in result.kills)
        seen = [sum(kill.report["succeeded"] for kill in result.kills)]
        seen += [sum(kill.failed(kind) for kill in result.kills) for kind in HONEST]
        cells += [f"{part / requests:.1%}" for part in seen]
        lines.append(_row([*cells, f"{sum(kill.dishonest for kill in result.kills)}"]))
    return "\n".join(lines)


def _ratio(own: list[float], others: list[float]) -> str:
    """Round by round, because a machine is not equally fast all the time."""
    ratios = sorted(one / other for one, other in zip(own, others))
    middle = f"{statistics.median(ratios):.2f}"
    return middle if own is others else f"{middle} ({ratios[0]:.2f}–{ratios[-1]:.2f})"


def _milliseconds(value: float) -> str:
    return f"{value:,.0f} ms" if value else "–"


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
