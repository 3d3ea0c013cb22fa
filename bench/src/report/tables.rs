//! Tables of comparisons.

use std::fmt::Write;

use crate::lab::process::Role;
use crate::markdown::{grouped, head, row};
use crate::results::{Measure, Results, Sample, Series, Spread};

/// A column of ratios: one target over another at each point.
pub(super) struct Column {
    /// What is above it.
    pub(super) head: &'static str,
    /// The target that is compared.
    pub(super) over: &'static str,
    /// With which one.
    pub(super) under: &'static str,
    /// At which point, if not the same.
    pub(super) under_point: Option<&'static str>,
    /// What of both.
    pub(super) measure: Measure,
}

/// A table of ratios: a row for each point at which there is any, no column for what was not measured.
pub(super) fn ratios(results: &Results, varied: &str, columns: &[Column]) -> String {
    let measured = |column: &&Column| {
        let targets = results.targets();
        targets.contains(&column.over) && targets.contains(&column.under)
    };
    let columns: Vec<&Column> = columns.iter().filter(measured).collect();
    let heads: Vec<&str> = std::iter::once(varied).chain(columns.iter().map(|column| column.head)).collect();
    let mut table = head(&heads, 1);
    for point in results.points() {
        let cells: Vec<Option<Spread>> = columns
            .iter()
            .map(|column| {
                let under = (column.under, column.under_point.unwrap_or(point));
                results.ratio((column.over, point), under, column.measure)
            })
            .collect();
        if cells.iter().any(Option::is_some) {
            row(&mut table, std::iter::once(point.to_owned()).chain(cells.into_iter().map(ratio)));
        }
    }
    table
}

/// Everything that was measured, medians of the rounds: numbers of one machine.
pub(super) fn details(results: &Results, varied: &str) -> String {
    let heads = [
        varied,
        "target",
        "answers/s",
        "p50, µs",
        "p99, µs",
        "p99.9, µs",
        "errors",
        "CPU gateway, µs",
        "CPU broker, µs",
        "CPU worker, µs",
        "Redis commands",
    ];
    let mut table = head(&heads, 2);
    for series in &results.series {
        let median = |value: fn(&Sample) -> f64| number(series.spread(value));
        let errors: u64 = series.samples.iter().map(|sample| sample.errors).sum();
        let mut cells = vec![series.point.clone(), series.target.clone()];
        cells.push(median(|it| it.per_second));
        cells.extend([median(|it| it.p50_us), median(|it| it.p99_us), median(|it| it.p999_us)]);
        cells.push(errors.to_string());
        cells.extend([Role::Gateway, Role::Broker, Role::Worker].map(|role| cpu(series, role)));
        cells.push(fine(Spread::of(series.samples.iter().filter_map(|sample| sample.redis_commands))));
        row(&mut table, cells);
    }
    table
}

/// The curve of an open loop.
pub(super) fn open_loop(results: &Results) -> String {
    let heads = [
        "offered, × capacity",
        "sent/s",
        "answered in 1 s, /s",
        "p50, µs",
        "p99, µs",
        "refused or failed",
        "late sends p99, µs",
    ];
    let mut table = head(&heads, 1);
    for series in &results.series {
        let more = |name: &str| series.spread(|it| it.more.get(name).copied().unwrap_or(f64::NAN));
        let failed =
            more("failed_share").map_or(NOTHING.to_owned(), |it| format!("{:.1}%", it.median * 100.0));
        row(
            &mut table,
            [
                series.point.clone(),
                number(more("sent_per_second")),
                number(series.spread(|it| it.per_second)),
                number(series.spread(|it| it.p50_us)),
                number(series.spread(|it| it.p99_us)),
                failed,
                number(more("send_delay_p99_us")),
            ],
        );
    }
    table
}

/// Where, when and how it was measured, in one line.
pub(super) fn circumstances(results: &Results) -> String {
    let machine = &results.machine;
    let mut line = format!(
        "{} rounds of {} s; {}, {} processors, {} GiB, Linux {}; {}; {}.",
        results.rounds,
        results.seconds,
        machine.processor,
        machine.processors,
        machine.memory_gib,
        machine.kernel,
        machine.programs.join(", "),
        results.ended,
    );
    if results.noisy {
        let others = results.series.iter().flat_map(|series| &series.samples).map(|sample| sample.others);
        let most = others.fold(0.0, f64::max);
        let _ =
            write!(line, " **Noisy**: other processes took up to {most:.1} processors; not to be relied on.");
    }
    line
}

const NOTHING: &str = "–";

/// The median in bold with what it lies between.
pub(super) fn ratio(spread: Option<Spread>) -> String {
    spread.map_or(NOTHING.to_owned(), |it| format!("**{:.2}** ({:.2}–{:.2})", it.median, it.min, it.max))
}

fn number(spread: Option<Spread>) -> String {
    spread.map_or(NOTHING.to_owned(), |it| grouped(it.median))
}

fn fine(spread: Option<Spread>) -> String {
    spread.map_or(NOTHING.to_owned(), |it| format!("{:.2}", it.median))
}

fn cpu(series: &Series, role: Role) -> String {
    let spent = series.samples.iter().filter_map(|sample| sample.cpu_us.get(role.name()).copied());
    spread_to_tenths(Spread::of(spent))
}

fn spread_to_tenths(spread: Option<Spread>) -> String {
    spread.map_or(NOTHING.to_owned(), |it| format!("{:.1}", it.median))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::tests::results;

    const COLUMN: Column =
        Column { head: "a / b", over: "a", under: "b", under_point: None, measure: Measure::PerSecond };

    #[test]
    fn ratios_stand_where_both_were_measured() {
        let results = results(&[("a", "1", &[1.0, 3.0]), ("b", "1", &[2.0, 4.0]), ("a", "2", &[1.0])]);

        let table = ratios(&results, "c", &[COLUMN]);

        assert_eq!(table, "| c | a / b |\n| --- | ---: |\n| 1 | **0.62** (0.50–0.75) |\n");
    }

    #[test]
    fn a_ratio_to_a_fixed_point_is_one_there() {
        let results = results(&[("a", "1", &[4.0]), ("a", "8", &[3.0])]);
        let column = Column { under: "a", under_point: Some("1"), ..COLUMN };

        let table = ratios(&results, "replicas", &[column]);

        assert!(table.contains("| 1 | **1.00** (1.00–1.00) |\n| 8 | **0.75** (0.75–0.75) |"), "{table}");
    }

    #[test]
    fn large_numbers_are_grouped_and_unknown_ones_are_dashes() {
        let results = results(&[("a", "1", &[1_234_567.0])]);

        let table = details(&results, "c");

        assert!(table.contains("| 1 | a | 1,234,567 | 1,234,567 |"), "{table}");
        assert!(table.ends_with("| 0 | – | – | – | – |\n"), "{table}");
    }
}
