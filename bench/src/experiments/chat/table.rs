//! What was seen, as Markdown: medians.

use super::{Row, Sample, Seen};
use crate::markdown::{grouped, head, row};
use crate::results::Spread;

/// The most memory of a quiet client, in KiB.
const MOST_MEMORY: f64 = 32.0;

/// A row for each number of clients.
pub(super) fn table(seen: &Seen) -> String {
    let mut text = format!(
        "`make bench ARGS=\"--only chat --clients {} --rounds {}\"`{} on {} ({} processors), {}:\n\n",
        seen.clients,
        seen.rounds,
        if seen.noisy { " (other processes were busy)" } else { "" },
        seen.machine.processor,
        seen.machine.processors,
        seen.machine.programs.join(", "),
    );
    text += &head(
        &[
            "clients",
            "KiB each, quiet",
            "KiB each, at most",
            "send to last client, p50",
            "p99",
            "messages given/s",
            "CPU µs for each",
            "blocking readers",
        ],
        0,
    );
    for shown in &seen.rows {
        let number = |value| median(shown, value);
        row(
            &mut text,
            [
                grouped(shown.clients as f64),
                format!("{:.1}", number(|it| it.idle_kib)),
                format!("{:.1}", number(|it| it.peak_kib)),
                format!("{:.1} ms", number(|it| it.last_p50_ms)),
                format!("{:.1} ms", number(|it| it.last_p99_ms)),
                grouped(number(|it| it.fan_out)),
                format!("{:.2}", number(|it| it.cpu_us)),
                readers(shown).to_string(),
            ],
        );
    }
    text
}

/// The bounds that were missed.
pub(super) fn missed(seen: &Seen) -> Vec<String> {
    let mut missed = Vec::new();
    for row in &seen.rows {
        let (clients, readers) = (row.clients, readers(row));
        if readers != 1 {
            missed.push(format!("{clients} clients: {readers} connections block in a read of Redis, not 1"));
        }
    }
    if let Some(most) = seen.rows.last() {
        let kib = median(most, |it| it.idle_kib);
        if kib > MOST_MEMORY {
            missed.push(format!("{} clients: {kib:.1} KiB each, more than {MOST_MEMORY}", most.clients));
        }
    }
    missed
}

fn median(shown: &Row, value: fn(&Sample) -> f64) -> f64 {
    Spread::of(shown.samples.iter().map(value)).map_or(0.0, |spread| spread.median)
}

fn readers(shown: &Row) -> usize {
    shown.samples.iter().map(|sample| sample.readers).max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::tests::results;

    fn seen(idle_kib: f64, readers: usize) -> Seen {
        let sample = Sample {
            idle_kib,
            peak_kib: 12.0,
            last_p50_ms: 8.25,
            last_p99_ms: 20.0,
            fan_out: 1_234_567.0,
            cpu_us: 0.51,
            readers,
        };
        let rows = vec![Row { clients: 10_000, samples: vec![sample; 3] }];
        Seen { machine: results(&[]).machine, rounds: 3, clients: 10_000, noisy: false, rows }
    }

    #[test]
    fn a_row_tells_medians() {
        let table = table(&seen(9.5, 1));

        assert!(
            table.contains("| 10,000 | 9.5 | 12.0 | 8.2 ms | 20.0 ms | 1,234,567 | 0.51 | 1 |\n"),
            "{table}"
        );
        assert_eq!(missed(&seen(9.5, 1)), Vec::<String>::new());
    }

    #[test]
    fn a_reader_for_each_client_and_much_memory_miss_their_bounds() {
        let missed = missed(&seen(40.0, 2));

        assert_eq!(missed.len(), 2, "{missed:?}");
    }
}
