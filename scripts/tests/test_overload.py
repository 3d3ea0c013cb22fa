"""The verdict of an overload run: each bound can be missed."""

from __future__ import annotations

import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from document import put  # noqa: E402
from overload_deployment import Memory  # noqa: E402
from overload_report import MIB, Run, missed, table  # noqa: E402

CAPACITY = 300
SECONDS = 10
SMALL = Memory(50 * MIB, 20 * MIB, 10 * MIB)


def seen(
    times: float,
    in_time: int = 3000,
    refused: int | None = None,
    dropped: int = 0,
    refusal_ms: float = 1.0,
    kept: bool = True,
    memory: Memory = SMALL,
    last_failure: float | None = None,
) -> Run:
    """A load at so many times the capacity of which `in_time` were answered and the rest refused."""
    requests = int(CAPACITY * times * SECONDS)
    refused = requests - in_time - dropped if refused is None else refused
    failures = [
        {"kind": kind, "count": count, "latency_ms": {"p50": p50}}
        for kind, count, p50 in (("http_503", refused, refusal_ms), ("http_504", dropped, 2000.0))
        if count
    ]
    report = {
        "requests": requests,
        "failed": refused + dropped,
        "goodput": {"in_time": in_time, "per_second": in_time / SECONDS},
        "latency_ms": {"p99": 900.0},
        "failures": failures,
        "pace": {"kept": kept, "start_delay_ms": {"p99": 1.0 if kept else 50.0}},
    }
    if last_failure is not None:
        report["last_failure_seconds"] = last_failure
    return Run(f"{times:g} ×", times, report, memory, requests - refused)


STEADY = {1: seen(1), 2: seen(2), 5: seen(5), 10: seen(10)}
RECOVERY = seen(0.5, in_time=1500)


def problems(changed: Run | None = None, burst: Run = seen(10), recovery: Run = RECOVERY) -> str:
    steady = {**STEADY, **({changed.times: changed} if changed else {})}
    return "\n".join(missed(list(steady.values()), burst, recovery, CAPACITY))


class Bounds(unittest.TestCase):
    def test_a_gateway_that_sheds_well_misses_nothing(self) -> None:
        self.assertEqual(problems(), "")

    def test_every_bound_can_be_missed(self) -> None:
        cases = (
            ("5 ×: goodput is 90% of its peak", dict(changed=seen(5, in_time=2700))),
            ("10 ×: 3.2% of the accepted requests had no answer in time", dict(changed=seen(10, dropped=100))),
            ("10 ×: refusals took 5.0 ms at p50", dict(changed=seen(10, refusal_ms=5.0))),
            ("2 ×: nothing was refused", dict(changed=seen(2, in_time=5990, refused=0, dropped=10))),
            ("10 ×: memory 300 / 20 / 10 is above", dict(changed=seen(10, memory=SMALL._replace(ingress=300 * MIB)))),
            ("10 ×: memory 50 / 20 / 200 is above", dict(changed=seen(10, memory=SMALL._replace(redis=200 * MIB)))),
            ("5 ×: this machine did not keep the rate (p99 50 ms late)", dict(changed=seen(5, kept=False))),
            ("10 ×: 6.2% of the accepted requests", dict(burst=seen(10, dropped=200))),
            ("recovery: requests failed until 3.5 s", dict(recovery=seen(0.5, in_time=1400, last_failure=3.5))),
        )
        for sentence, arguments in cases:
            with self.subTest(sentence):
                self.assertIn(sentence, problems(**arguments))

    def test_a_low_peak_is_not_easily_kept(self) -> None:
        low = [seen(times, in_time=1500) for times in STEADY]

        said = "\n".join(missed(low, low[-1], RECOVERY, CAPACITY))

        self.assertIn("the peak of goodput is 50% of what the closed loop reached", said)

    def test_what_a_worker_drops_with_503_is_not_refused(self) -> None:
        run = seen(10)
        run = run._replace(admitted=run.admitted + 400)

        self.assertEqual((run.accepted, run.late, run.dropped, run.refused), (3400, 400, 400, 26600))

    def test_where_nothing_was_refused_no_refusal_is_timed(self) -> None:
        run = seen(2, refusal_ms=1990.0)
        run = run._replace(admitted=run.report["requests"])

        self.assertIsNone(run.refusal_p50)


class Table(unittest.TestCase):
    def test_it_says_what_happened_to_every_request(self) -> None:
        lines = table([*STEADY.values()], seen(10), RECOVERY, CAPACITY).splitlines()

        self.assertEqual(
            lines[4], "| 5 × | 100% | 20.0% | 80.0% | 0.0% | 0.0% | 900 ms | 1.0 ms | 1.0 ms | 50 / 20 / 10 |"
        )
        self.assertTrue(all(line.count("|") == lines[0].count("|") for line in lines[:8]), lines)

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
