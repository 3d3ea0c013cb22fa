//! The performance aims, and whether the run met them.

use super::tables::ratio;
use crate::markdown::{head, row};
use crate::name::Name;
use crate::results::{At, Measure, Results, Spread};

/// One ratio with its bounds.
struct Aim {
    what: &'static str,
    experiment: Name,
    over: At<'static>,
    under: At<'static>,
    measure: Measure,
    must: f64,
    aim: f64,
}

/// More is better unless it is a latency.
const AIMS: [Aim; 13] = {
    use Measure::{P50, P99, PerSecond};
    use Name::{AppendOnly, Bodies, Concurrency, History, OneCore, Replicas};
    const fn aim(
        what: &'static str,
        (experiment, measure): (Name, Measure),
        over: At<'static>,
        under: At<'static>,
        (must, aim): (f64, f64),
    ) -> Aim {
        Aim { what, experiment, over, under, measure, must, aim }
    }
    let rate = (Concurrency, PerSecond);
    [
        aim("answers/s, gateway / direct, c=1", rate, ("gateway", "1"), ("direct", "1"), (0.5, 0.7)),
        aim("answers/s, gateway / direct, c=64", rate, ("gateway", "64"), ("direct", "64"), (0.45, 0.6)),
        aim("answers/s, gateway / direct, c=256", rate, ("gateway", "256"), ("direct", "256"), (0.55, 0.75)),
        aim(
            "the same on one core, c=64",
            (OneCore, PerSecond),
            ("gateway", "64"),
            ("direct", "64"),
            (0.55, 0.7),
        ),
        aim(
            "p50 at c=1 on one core, gateway / raw cycle",
            (OneCore, P50),
            ("gateway", "1"),
            ("raw cycle", "1"),
            (1.9, 1.4),
        ),
        aim("answers/s, gateway / NATS, c=1", rate, ("gateway", "1"), ("nats", "1"), (1.3, 1.7)),
        aim("answers/s, gateway / NATS, c=64", rate, ("gateway", "64"), ("nats", "64"), (1.0, 1.2)),
        aim("answers/s, gateway / NATS, c=256", rate, ("gateway", "256"), ("nats", "256"), (0.95, 1.15)),
        aim("p99 at c=64, gateway / NATS", (Concurrency, P99), ("gateway", "64"), ("nats", "64"), (0.8, 0.6)),
        aim(
            "8 replicas / 1 replica on one core",
            (Replicas, PerSecond),
            ("gateway", "8"),
            ("gateway", "1"),
            (0.59, 0.75),
        ),
        aim(
            "1,000,000 entries of history / none",
            (History, PerSecond),
            ("gateway", "1000000"),
            ("gateway", "0"),
            (0.9, 1.0),
        ),
        aim(
            "60 KB bodies, gateway / NATS",
            (Bodies, PerSecond),
            ("gateway", "60 KB"),
            ("nats", "60 KB"),
            (1.0, 1.3),
        ),
        aim(
            "Redis AOF everysec / off",
            (AppendOnly, PerSecond),
            ("gateway", "everysec"),
            ("gateway", "off"),
            (0.8, 0.9),
        ),
    ]
};

/// The table of aims; a dash where the experiment was not made.
pub(super) fn table(all: &[Results]) -> String {
    let mut table = head(&["ratio", "must", "aim", "measured", ""], 1);
    for aim in &AIMS {
        let results = all.iter().find(|results| results.experiment == aim.experiment.text());
        let measured = results.and_then(|results| results.ratio(aim.over, aim.under, aim.measure));
        let sign = if aim.less_is_better() { "≤" } else { "≥" };
        row(
            &mut table,
            [
                aim.what.to_owned(),
                format!("{sign} {:.2}", aim.must),
                format!("{sign} {:.2}", aim.aim),
                ratio(measured),
                measured.map_or("", |measured| aim.verdict(measured)).to_owned(),
            ],
        );
    }
    table
}

impl Aim {
    fn less_is_better(&self) -> bool {
        self.measure != Measure::PerSecond
    }

    fn verdict(&self, measured: Spread) -> &'static str {
        // As the table shows them: what reads like the bound has reached it.
        let hundredths = |value: f64| (value * 100.0).round();
        let reached = |bound: f64| {
            let (measured, bound) = (hundredths(measured.median), hundredths(bound));
            if self.less_is_better() { measured <= bound } else { measured >= bound }
        };
        match (reached(self.aim), reached(self.must)) {
            (true, _) => "aim",
            (false, true) => "must",
            (false, false) => "**missed**",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::tests::results;

    #[test]
    fn each_ratio_is_judged_in_its_own_direction() {
        let results = results(&[
            ("gateway", "64", &[60.0]),
            ("direct", "64", &[100.0]),
            ("nats", "64", &[70.0]),
            ("gateway", "1", &[45.0]),
            ("direct", "1", &[100.0]),
        ]);

        let table = table(&[results]);

        for row in [
            "| answers/s, gateway / direct, c=1 | ≥ 0.50 | ≥ 0.70 | **0.45** (0.45–0.45) | **missed** |",
            "| answers/s, gateway / direct, c=64 | ≥ 0.45 | ≥ 0.60 | **0.60** (0.60–0.60) | aim |",
            "| p99 at c=64, gateway / NATS | ≤ 0.80 | ≤ 0.60 | **0.86** (0.86–0.86) | **missed** |",
            "| 60 KB bodies, gateway / NATS | ≥ 1.00 | ≥ 1.30 | – |  |",
        ] {
            assert!(table.contains(row), "no {row} in\n{table}");
        }
    }
}
