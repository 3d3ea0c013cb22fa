//! What was seen, as Markdown: medians, with ratios to the plain commands of the same round.

use super::contestant::{FEW, LIBRARY, PLAIN};
use super::{Row, Sample, Seen};
use crate::markdown::{grouped, head, row};
use crate::results::Spread;

/// The least that the library must do of what plain commands do.
const LEAST: f64 = 0.9;
/// How much more memory, in MiB, the worker may take with all entries waiting than with few.
const MORE_MEMORY: f64 = 8.0;

type Phase = fn(&Row) -> &[Sample];
const PHASES: [(&str, Phase); 2] =
    [("append", |row| &row.append), ("consume and acknowledge", |row| &row.consume)];

/// A table for each phase.
pub(super) fn tables(seen: &Seen) -> String {
    let mut text = format!(
        "`make bench ARGS=\"--only streams --entries {} --rounds {}\"`{} on {} ({} processors), {}:\n",
        seen.entries,
        seen.rounds,
        if seen.noisy { " (other processes were busy)" } else { "" },
        seen.machine.processor,
        seen.machine.processors,
        seen.machine.programs.join(", "),
    );
    for (phase, of) in PHASES {
        let heads = [
            phase,
            "entries",
            "entries/s",
            "/ plain",
            "CPU µs, client",
            "CPU µs, server",
            "peak MiB, client",
        ];
        text += &format!("\n{}", head(&heads, 1));
        for shown in seen.rows.iter().filter(|row| row.name != FEW) {
            row(&mut text, cells(shown, of, seen));
        }
    }
    if let Some([many, few]) = memory(seen) {
        let waiting = |name: &str| seen.row(name).map_or(0.0, |row| row.entries as f64);
        text += &format!(
            "\nPeak memory of streamgate's worker: {many:.1} MiB with {} entries waiting, {few:.1} MiB with {}.\n",
            grouped(waiting(LIBRARY)),
            grouped(waiting(FEW)),
        );
    }
    text
}

/// The bounds that were missed.
pub(super) fn missed(seen: &Seen) -> Vec<String> {
    let mut missed = Vec::new();
    for (phase, of) in PHASES {
        let ratio = seen.row(LIBRARY).and_then(|row| ratio(row, of, seen)).map_or(0.0, |it| it.median);
        if ratio < LEAST {
            missed.push(format!("{phase}: {ratio:.2} of plain commands, less than {LEAST}"));
        }
    }
    if let Some([many, few]) = memory(seen)
        && many > few + MORE_MEMORY
    {
        missed.push(format!(
            "memory grows with the backlog: {few:.1} MiB with few entries, {many:.1} MiB with many"
        ));
    }
    missed
}

fn cells(shown: &Row, of: Phase, seen: &Seen) -> Vec<String> {
    if let Some(why) = &shown.absent {
        let mut cells = vec![shown.name.clone(), format!("not measured: {}", why.replace('|', "/"))];
        cells.resize(7, String::new());
        return cells;
    }
    let number = |value: fn(&Sample) -> f64| median(of(shown), value);
    let ratio = ratio(shown, of, seen);
    vec![
        shown.name.clone(),
        grouped(shown.entries as f64),
        grouped(number(|it| it.per_second)),
        ratio.map_or("–".to_owned(), |it| format!("**{:.2}** ({:.2}–{:.2})", it.median, it.min, it.max)),
        format!("{:.2}", number(|it| it.client_us)),
        format!("{:.2}", number(|it| it.server_us)),
        format!("{:.1}", number(|it| it.peak_mib)),
    ]
}

fn median(samples: &[Sample], value: fn(&Sample) -> f64) -> f64 {
    Spread::of(samples.iter().map(value)).map_or(0.0, |spread| spread.median)
}

/// To the plain commands, round by round.
fn ratio(shown: &Row, of: Phase, seen: &Seen) -> Option<Spread> {
    let rounds = of(shown).iter().zip(of(seen.row(PLAIN)?));
    Spread::of(rounds.map(|(one, plain)| one.per_second / plain.per_second))
}

/// Peak memory of the worker with all entries waiting, and with few.
fn memory(seen: &Seen) -> Option<[f64; 2]> {
    let peak = |name| Some(median(&seen.row(name)?.consume, |it| it.peak_mib));
    Some([peak(LIBRARY)?, peak(FEW)?])
}

impl Seen {
    fn row(&self, name: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::tests::results;

    fn measured(name: &str, per_second: &[f64], peak_mib: f64) -> Row {
        let sample =
            |per_second: &f64| Sample { per_second: *per_second, client_us: 2.0, server_us: 1.5, peak_mib };
        let samples: Vec<Sample> = per_second.iter().map(sample).collect();
        Row { name: name.to_owned(), entries: 1_000, absent: None, append: samples.clone(), consume: samples }
    }

    fn seen(rows: Vec<Row>) -> Seen {
        Seen { machine: results(&[]).machine, rounds: 2, entries: 1_000, noisy: false, rows }
    }

    #[test]
    fn rates_are_compared_round_by_round_and_absence_is_said() {
        let absent = Row { absent: Some("no a|b".to_owned()), ..measured("away", &[], 0.0) };
        let few = measured(FEW, &[1.0], 20.0);
        let ours = measured(LIBRARY, &[95.0, 38.0], 21.0);
        let seen = seen(vec![measured(PLAIN, &[100.0, 40.0], 9.0), ours, few, absent]);

        let tables = tables(&seen);

        let line = format!("| {LIBRARY} | 1,000 | 66 | **0.95** (0.95–0.95) | 2.00 | 1.50 | 21.0 |\n");
        assert_eq!(tables.matches(&line).count(), 2, "{tables}");
        assert!(tables.contains("| away | not measured: no a/b |  |  |  |  |  |\n"), "{tables}");
        assert!(tables.contains("21.0 MiB with 1,000 entries waiting, 20.0 MiB with"), "{tables}");
        assert_eq!(missed(&seen), Vec::<String>::new());
    }

    #[test]
    fn a_slow_library_and_growing_memory_miss_their_bounds() {
        let ours = measured(LIBRARY, &[80.0], 40.0);
        let seen = seen(vec![measured(PLAIN, &[100.0], 9.0), ours, measured(FEW, &[1.0], 20.0)]);

        let missed = missed(&seen);

        assert_eq!(missed.len(), 3, "{missed:?}");
        assert_eq!(missed[0], "append: 0.80 of plain commands, less than 0.9");
        assert!(missed[2].starts_with("memory grows with the backlog: 20.0 MiB"), "{missed:?}");
    }
}
