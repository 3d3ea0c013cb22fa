"""What an overload run must show, and the table that says what it showed.

Standard library only, Python 3.9 or newer.
"""

from __future__ import annotations

from typing import NamedTuple

from overload_deployment import DEADLINE, Memory

MIB = 1024 * 1024
REFUSED = ("http_429", "http_503")
TIMED_OUT = ("http_504",)

# The bounds, and where they are missed the run has failed.
GOODPUT_KEPT = 0.95
LATE_ACCEPTED = 0.01
REFUSAL_MS = 5.0
RECOVERY = DEADLINE + 1
MEMORY = Memory(ingress=256 * MIB, proxy=128 * MIB, redis=128 * MIB)


class Run(NamedTuple):
    """One load: its name, how much of the capacity was offered, and what became of it."""

    name: str
    times: float
    report: dict
    memory: Memory
    # How many entries the stream got meanwhile; unknown where loads overlap.
    admitted: int | None = None

    @property
    def goodput(self) -> float:
        return self.report["goodput"]["per_second"]

    def count(self, kinds: tuple[str, ...]) -> int:
        return sum(failure["count"] for failure in self.report["failures"] if failure["kind"] in kinds)

    @property
    def accepted(self) -> int:
        """What was put on the stream, also if a worker then dropped it with a 503, or nobody took it."""
        return self.report["requests"] - self.count(REFUSED) if self.admitted is None else self.admitted

    @property
    def refused(self) -> int:
        return self.count(REFUSED) if self.admitted is None else self.report["requests"] - self.admitted

    @property
    def dropped(self) -> int:
        """Let in and answered 503 or 504, for want of time."""
        return self.count(REFUSED) + self.count(TIMED_OUT) - self.refused

    @property
    def late(self) -> int:
        """Accepted, and no right answer within the deadline."""
        return self.accepted - self.report["goodput"]["in_time"]

    @property
    def unknown(self) -> int:
        """No answer at all, or one that says nothing."""
        return self.report["failed"] - self.count(REFUSED) - self.count(TIMED_OUT)

    @property
    def refusal_p50(self) -> float | None:
        """In ms. Those that a worker dropped with the same status make it worse, never better."""
        if self.refused == 0:
            return None
        return max(
            (failure["latency_ms"]["p50"] for failure in self.report["failures"] if failure["kind"] in REFUSED),
            default=None,
        )

    @property
    def accepted_p99(self) -> str:
        """As a cell; where more than one in a hundred came late or never, it is the deadline or more."""
        if self.accepted == 0:
            return "–"
        if self.late / self.accepted >= LATE_ACCEPTED:
            return f"**over {DEADLINE * 1000:.0f} ms**"
        return f"{self.report['latency_ms']['p99']:.0f} ms"


def missed(steady: list[Run], burst: Run, recovery: Run, capacity: float) -> list[str]:
    """Every bound that does not hold, as a sentence."""
    problems = []
    peak = max(run.goodput for run in steady)
    for run in [*steady, burst, recovery]:
        pace = run.report["pace"]
        if not pace["kept"]:
            late = pace["start_delay_ms"]["p99"]
            problems.append(f"{run.name}: this machine did not keep the rate (p99 {late:.0f} ms late): measure again")
        if run.memory.ingress > MEMORY.ingress or run.memory.proxy > MEMORY.proxy or run.memory.redis > MEMORY.redis:
            problems.append(f"{run.name}: memory {_memory(run)} is above {_mib(MEMORY)}")
    for run in [*steady, burst]:
        if run.refusal_p50 is not None and run.refusal_p50 >= REFUSAL_MS:
            problems.append(f"{run.name}: refusals took {run.refusal_p50:.1f} ms at p50, not under {REFUSAL_MS:g} ms")
        if run.late >= LATE_ACCEPTED * max(run.accepted, 1):
            share = run.late / max(run.accepted, 1)
            problems.append(f"{run.name}: {share:.1%} of the accepted requests had no answer in time")
    for run in steady:
        if run.times >= 2 and run.refused == 0:
            problems.append(f"{run.name}: nothing was refused")
        if run.times == 5 and run.goodput < GOODPUT_KEPT * peak:
            problems.append(f"{run.name}: goodput is {run.goodput / peak:.0%} of its peak, not {GOODPUT_KEPT:.0%}")
    # Otherwise the peak would be a low one, and easily kept.
    if peak < 0.9 * capacity:
        problems.append(f"the peak of goodput is {peak / capacity:.0%} of what the closed loop reached, not 90%")
    failed_until = recovery.report.get("last_failure_seconds", 0.0)
    if failed_until > RECOVERY:
        problems.append(f"recovery: requests failed until {failed_until:.1f} s after the overload, not {RECOVERY:g} s")
    return problems


def table(steady: list[Run], burst: Run, recovery: Run, capacity: float) -> str:
    """What was seen, as markdown."""
    peak = max(run.goodput for run in steady)
    head = [
        "offered, × capacity",
        "goodput, of its peak",
        "answered in time",
        "refused",
        "dropped",
        "unknown",
        "accepted, p99",
        "refusals, p50",
        "late sends, p99",
        "ingress / worker / Redis, MiB",
    ]
    lines = [_row(head), _row(["---"] + ["---:"] * (len(head) - 1))]
    for run in [*steady, burst, recovery]:
        total = run.report["requests"]
        refusal = run.refusal_p50
        lines.append(
            _row(
                [
                    run.name,
                    f"{run.goodput / peak:.0%}" if run in steady else "–",
                    f"{run.report['goodput']['in_time'] / total:.1%}",
                    f"{run.refused / total:.1%}",
                    f"{run.dropped / total:.1%}",
                    f"{run.unknown / total:.1%}",
                    run.accepted_p99,
                    "–" if refusal is None else f"{refusal:.1f} ms",
                    f"{run.report['pace']['start_delay_ms']['p99']:.1f} ms",
                    _memory(run),
                ]
            )
        )
    failed_until = recovery.report.get("last_failure_seconds")
    healed = "no request failed" if failed_until is None else f"requests failed for another {failed_until:.1f} s"
    lines += ["", f"After ten seconds at 10 ×, half the capacity was offered at once: {healed}."]
    lines.append(f"The peak of goodput was {peak / capacity:.0%} of what the closed loop reached.")
    return "\n".join(lines)


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _memory(run: Run) -> str:
    return _mib(run.memory)


def _mib(memory: Memory) -> str:
    return " / ".join(f"{part / MIB:.0f}" for part in memory)
