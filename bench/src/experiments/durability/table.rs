//! What was seen, as Markdown; the first setting is what others are compared with.

use super::kept::{HONEST, Kept, Kill};
use crate::markdown::{grouped, head, row};
use crate::results::Spread;

const NOTHING: &str = "–";

/// A row for each setting.
pub(super) fn table(all: &[Kept]) -> String {
    let heads = [
        "Redis keeps",
        "throughput",
        "kills",
        "entries lost: median",
        "most",
        "oldest lost: median",
        "most",
        "callers: 200",
        "503",
        "504",
        "other",
    ];
    let mut table = head(&heads, 1);
    for (number, kept) in all.iter().enumerate() {
        let others = if number == 0 { None } else { all.first() };
        row(&mut table, cells(kept, others));
    }
    table
}

fn cells(kept: &Kept, others: Option<&Kept>) -> Vec<String> {
    let spread = |value: fn(&Kill) -> f64| Spread::of(kept.kills.iter().map(value));
    let lost = spread(|kill| kill.loss.entries as f64);
    let oldest = spread(|kill| kill.loss.oldest_ms);
    let number = |value: Option<f64>| value.map_or(NOTHING.to_owned(), grouped);
    let requests = kept.sum(|kill| kill.report.requests).max(1) as f64;
    let share = |count: u64| format!("{:.1}%", count as f64 / requests * 100.0);
    let mut cells = vec![kept.name.clone(), throughput(kept, others), kept.kills.len().to_string()];
    cells.extend([number(lost.map(|it| it.median)), number(lost.map(|it| it.max))]);
    cells.extend([milliseconds(oldest.map(|it| it.median)), milliseconds(oldest.map(|it| it.max))]);
    cells.push(share(kept.sum(|kill| kill.report.succeeded)));
    cells.extend(HONEST.map(|kind| share(kept.sum(|kill| kill.report.count(&[kind])))));
    cells.push(kept.sum(Kill::dishonest).to_string());
    cells
}

/// Round by round, because a machine is not equally fast all the time.
fn throughput(kept: &Kept, others: Option<&Kept>) -> String {
    let Some(others) = others else { return "1.00".to_owned() };
    let ratios = kept.throughput.iter().zip(&others.throughput).map(|(one, other)| one / other);
    Spread::of(ratios)
        .map_or(NOTHING.to_owned(), |it| format!("{:.2} ({:.2}–{:.2})", it.median, it.min, it.max))
}

fn milliseconds(value: Option<f64>) -> String {
    value.filter(|it| *it > 0.0).map_or(NOTHING.to_owned(), |it| format!("{} ms", grouped(it)))
}

#[cfg(test)]
mod tests {
    use super::super::kept::tests::kill;
    use super::super::loss::Loss;
    use super::*;

    #[test]
    fn throughput_is_compared_round_by_round_and_callers_are_summed() {
        let lost = |entries| Loss { entries, oldest_ms: 10.0 * entries as f64, holes: 0 };
        let kills = [1, 2, 6].map(|entries| kill(lost(entries), &[("http_503", 8), ("http_504", 2)]));
        let first = Kept { throughput: vec![100.0, 80.0], kills: kills.into(), ..Kept::new("it", true) };
        let slower = Kept { name: "slower".to_owned(), throughput: vec![50.0, 60.0], ..first.clone() };

        let table = table(&[first, slower]);

        let lines: Vec<&str> = table.lines().collect();
        let ratio = "0.62 (0.50–0.75)";
        let expected = format!("| slower | {ratio} | 3 | 2 | 6 | 20 ms | 60 ms | 90.0% | 8.0% | 2.0% | 0 |");
        assert_eq!(lines[3], expected);
        assert!(lines.iter().all(|line| line.matches('|').count() == 12), "{table}");
    }
}
