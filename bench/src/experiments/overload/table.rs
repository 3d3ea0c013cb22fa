//! What was seen, as Markdown.

use std::fmt::Write;

use super::seen::{DEADLINE, LATE_ACCEPTED, Run, Seen};
use crate::markdown::{head, row};

/// A row for each load, and two sentences.
pub(super) fn table(seen: &Seen) -> String {
    let heads = [
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
    ];
    let mut table = head(&heads, 1);
    for run in &seen.steady {
        row(&mut table, cells(run, format!("{:.0}%", run.goodput() / seen.peak() * 100.0)));
    }
    for run in [&seen.burst, &seen.recovery] {
        row(&mut table, cells(run, "–".to_owned()));
    }
    let healed =
        seen.recovery.report.last_failure_seconds.map_or("no request failed".to_owned(), |until| {
            format!("requests failed for another {until:.1} s")
        });
    let peak = seen.peak() / seen.capacity * 100.0;
    let _ = write!(
        table,
        "\nAfter ten seconds at 10 ×, half the capacity was offered at once: {healed}.\n\
         The peak of goodput was {peak:.0}% of what the closed loop reached.\n"
    );
    table
}

fn cells(run: &Run, goodput: String) -> Vec<String> {
    let share = |count: u64| format!("{:.1}%", count as f64 / run.report.requests.max(1) as f64 * 100.0);
    vec![
        run.name.clone(),
        goodput,
        share(run.in_time()),
        share(run.refused()),
        share(run.dropped()),
        share(run.unknown()),
        accepted_p99(run),
        run.refusal_p50().map_or("–".to_owned(), |p50| format!("{p50:.1} ms")),
        format!("{:.1} ms", run.late_sends()),
        run.memory.in_mib(),
    ]
}

/// Where more than one in a hundred came late or never, it is the deadline or more.
fn accepted_p99(run: &Run) -> String {
    match run.report.latency_ms {
        _ if run.accepted() == 0 => "–".to_owned(),
        Some(latency) if run.late_share() < LATE_ACCEPTED => format!("{:.0} ms", latency.p99),
        _ => format!("**over {:.0} ms**", DEADLINE * 1000.0),
    }
}

#[cfg(test)]
mod tests {
    use super::super::verdict::tests::seen;
    use super::*;

    #[test]
    fn the_table_says_what_happened_to_every_request() {
        let table = table(&seen());

        let lines: Vec<&str> = table.lines().collect();
        let expected =
            "| 5 × | 100% | 20.0% | 80.0% | 0.0% | 0.0% | 900 ms | 1.0 ms | 1.0 ms | 50 / 20 / 10 |";
        assert_eq!(lines[4], expected);
        let columns = |line: &&str| line.matches('|').count();
        assert!(lines[..8].iter().all(|line| columns(line) == columns(&lines[0])), "{table}");
    }
}
