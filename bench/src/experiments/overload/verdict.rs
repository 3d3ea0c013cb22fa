//! The bounds, and which were missed.

use super::seen::{DEADLINE, LATE_ACCEPTED, MIB, Memory, Run, Seen};

/// Of the peak, at five times the capacity.
const GOODPUT_KEPT: f64 = 0.95;
/// Of the capacity. Otherwise the peak would be a low one, and easily kept.
const PEAK_REACHED: f64 = 0.9;
const REFUSAL_MS: f64 = 5.0;
/// Seconds after the overload.
const RECOVERY: f64 = DEADLINE + 1.0;
const MEMORY: Memory = Memory { ingress: 256 * MIB, proxy: 128 * MIB, redis: 128 * MIB };

/// Every bound that does not hold, as a sentence.
pub(super) fn missed(seen: &Seen) -> Vec<String> {
    let mut missed: Vec<String> = seen.all().flat_map(of_any).collect();
    missed.extend(seen.steady.iter().chain([&seen.burst]).flat_map(of_overload));
    missed.extend(seen.steady.iter().flat_map(|run| of_steady(run, seen.peak())));
    let reached = seen.peak() / seen.capacity;
    if reached < PEAK_REACHED {
        let share = percent(reached, 0);
        missed.push(format!("the peak of goodput is {share} of what the closed loop reached, not 90%"));
    }
    let failed_until = seen.recovery.report.last_failure_seconds.unwrap_or(0.0);
    if failed_until > RECOVERY {
        missed.push(format!(
            "recovery: requests failed until {failed_until:.1} s after the overload, not {RECOVERY} s"
        ));
    }
    missed
}

fn of_any(run: &Run) -> Vec<String> {
    let (name, mut missed) = (&run.name, Vec::new());
    if !run.report.pace.is_some_and(|pace| pace.kept) {
        let late = run.late_sends();
        missed.push(format!(
            "{name}: this machine did not keep the rate (p99 {late:.0} ms late): measure again"
        ));
    }
    if run.memory.most(MEMORY) != MEMORY {
        missed.push(format!("{name}: memory {} is above {}", run.memory.in_mib(), MEMORY.in_mib()));
    }
    missed
}

fn of_overload(run: &Run) -> Vec<String> {
    let (name, mut missed) = (&run.name, Vec::new());
    if let Some(p50) = run.refusal_p50().filter(|p50| *p50 >= REFUSAL_MS) {
        missed.push(format!("{name}: refusals took {p50:.1} ms at p50, not under {REFUSAL_MS} ms"));
    }
    if run.late_share() >= LATE_ACCEPTED {
        let share = percent(run.late_share(), 1);
        missed.push(format!("{name}: {share} of the accepted requests had no answer in time"));
    }
    missed
}

fn of_steady(run: &Run, peak: f64) -> Vec<String> {
    let (name, mut missed) = (&run.name, Vec::new());
    if run.times >= 2.0 && run.refused() == 0 {
        missed.push(format!("{name}: nothing was refused"));
    }
    if run.times == 5.0 && run.goodput() < GOODPUT_KEPT * peak {
        let share = percent(run.goodput() / peak, 0);
        missed.push(format!("{name}: goodput is {share} of its peak, not {}", percent(GOODPUT_KEPT, 0)));
    }
    missed
}

fn percent(share: f64, digits: usize) -> String {
    format!("{:.digits$}%", share * 100.0)
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::super::loadtest::{Failure, Goodput, Latency, Pace, Report};
    use super::*;

    const CAPACITY: f64 = 300.0;
    const SECONDS: f64 = 10.0;
    const SMALL: Memory = Memory { ingress: 50 * MIB, proxy: 20 * MIB, redis: 10 * MIB };

    /// A load at so many times the capacity of which `in_time` were answered, `dropped` got 504 and the
    /// rest was refused.
    fn run(times: f64, in_time: u64, dropped: u64) -> Run {
        let requests = (CAPACITY * times * SECONDS) as u64;
        let refused = requests - in_time - dropped;
        let failures = [("http_503", refused, 1.0), ("http_504", dropped, 2000.0)]
            .into_iter()
            .filter(|(_, count, _)| *count > 0)
            .map(|(kind, count, p50)| Failure {
                kind: kind.to_owned(),
                count,
                latency_ms: Latency { p50, p99: p50 },
            });
        let report = Report {
            requests,
            succeeded: in_time,
            failed: refused + dropped,
            goodput: Some(Goodput { in_time, per_second: in_time as f64 / SECONDS }),
            latency_ms: Some(Latency { p50: 500.0, p99: 900.0 }),
            failures: failures.collect(),
            pace: Some(Pace { kept: true, start_delay_ms: Latency { p50: 0.1, p99: 1.0 } }),
            ..Report::default()
        };
        Run { name: format!("{times} ×"), times, report, memory: SMALL, admitted: Some(requests - refused) }
    }

    /// A gateway that sheds well.
    pub(in super::super) fn seen() -> Seen {
        let steady = [1.0, 2.0, 5.0, 10.0].map(|times| run(times, 3000, 0)).into();
        Seen { capacity: CAPACITY, steady, burst: run(10.0, 3000, 0), recovery: run(0.5, 1500, 0) }
    }

    #[test]
    fn a_gateway_that_sheds_well_misses_nothing() {
        assert_eq!(missed(&seen()), Vec::<String>::new());
    }

    #[test]
    fn every_bound_can_be_missed() {
        type Change = fn(&mut Seen);
        let cases: [(&str, Change); 9] = [
            ("5 ×: goodput is 90% of its peak", |it| it.steady[2] = run(5.0, 2700, 0)),
            ("10 ×: 3.2% of the accepted requests had no answer in time", |it| {
                it.steady[3] = run(10.0, 3000, 100);
            }),
            ("10 ×: refusals took 5.0 ms at p50", |it| {
                it.steady[3].report.failures[0].latency_ms.p50 = 5.0;
            }),
            ("2 ×: nothing was refused", |it| it.steady[1] = run(2.0, 5990, 10)),
            ("10 ×: memory 300 / 20 / 10 is above", |it| it.steady[3].memory.ingress = 300 * MIB),
            ("10 ×: memory 50 / 20 / 200 is above", |it| it.steady[3].memory.redis = 200 * MIB),
            ("5 ×: this machine did not keep the rate (p99 50 ms late)", |it| {
                let late = Latency { p50: 1.0, p99: 50.0 };
                it.steady[2].report.pace = Some(Pace { kept: false, start_delay_ms: late });
            }),
            ("10 ×: 6.2% of the accepted requests", |it| it.burst = run(10.0, 3000, 200)),
            ("recovery: requests failed until 3.5 s", |it| {
                it.recovery.report.last_failure_seconds = Some(3.5);
            }),
        ];
        for (sentence, change) in cases {
            let mut seen = seen();
            change(&mut seen);

            let said = missed(&seen).join("\n");

            assert!(said.contains(sentence), "no {sentence} in {said}");
        }
    }

    #[test]
    fn a_low_peak_is_not_easily_kept() {
        let mut seen = seen();
        seen.steady = [1.0, 2.0, 5.0, 10.0].map(|times| run(times, 1500, 0)).into();

        let said = missed(&seen).join("\n");

        assert!(said.contains("the peak of goodput is 50% of what the closed loop reached"), "{said}");
    }

    #[test]
    fn what_a_worker_drops_with_503_is_not_refused() {
        let mut run = run(10.0, 3000, 0);

        run.admitted = run.admitted.map(|admitted| admitted + 400);

        assert_eq!((run.accepted(), run.late(), run.dropped(), run.refused()), (3400, 400, 400, 26_600));
    }

    #[test]
    fn where_nothing_was_refused_no_refusal_is_timed() {
        let mut run = run(2.0, 3000, 0);

        run.admitted = Some(run.report.requests);

        assert_eq!(run.refusal_p50(), None);
    }
}
