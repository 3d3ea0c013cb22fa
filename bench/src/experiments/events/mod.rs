//! examples/events on both databases: how many events a second pass through request, outbox, relay, consumer group and
//! audit trail, beside the plain inserts that the same database does a second.

mod inserts;
mod system;

use std::path::Path;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use stack::{Postgres, postgres};

use self::system::Measured;
use super::outcome::Outcome;
use crate::lab::Lab;
use crate::lab::machine::Machine;
use crate::markdown::{grouped, head, row};
use crate::options::RunOptions;
use crate::results::Spread;

/// Events of a round, and callers at once.
const EVENTS: usize = 10_000;
const CALLERS: usize = 50;

/// What was seen.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Seen {
    machine: Machine,
    rounds: u32,
    rows: Vec<Row>,
}

/// One database in all rounds.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Row {
    name: String,
    /// Why it was not measured.
    absent: Option<String>,
    /// Rows a second, each in a transaction of its own.
    inserts: Vec<f64>,
    events: Vec<Measured>,
}

/// The databases. Each commit is on the disk before it counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Sqlite,
    Postgres,
}

/// Makes the trial.
pub(super) async fn run(options: &RunOptions) -> anyhow::Result<Seen> {
    let lab = Lab::open(options.clone())?;
    let mut rows = [("SQLite", Kind::Sqlite), ("PostgreSQL", Kind::Postgres)]
        .map(|(name, kind)| (kind, Row { name: name.to_owned(), ..Row::default() }));
    for round in 1..=options.rounds {
        for (kind, row) in &mut rows {
            if row.absent.is_some() {
                continue;
            }
            let folder = tempfile::Builder::new().prefix("events-bench-").tempdir()?;
            let (_server, url) = match database(*kind, folder.path()) {
                Ok(database) => database,
                Err(why) => {
                    println!("  {} is left out: {why:#}", row.name);
                    row.absent = Some(format!("{why:#}").lines().next().unwrap_or_default().to_owned());
                    continue;
                }
            };
            let inserts = inserts::rate(*kind, &url, EVENTS, CALLERS).await?;
            let events = system::run(&lab, &url, EVENTS, CALLERS).await.context("the example fails")?;
            println!(
                "  {round}/{}  {:<10} inserts {inserts:>7.0}/s   sent {:>7.0}/s   processed {:>7.0}/s",
                options.rounds, row.name, events.sent, events.processed
            );
            row.inserts.push(inserts);
            row.events.push(events);
        }
    }
    let rows = rows.into_iter().map(|(_, row)| row).collect();
    Ok(Seen { machine: Machine::describe(&[&options.redis_server]), rounds: options.rounds, rows })
}

/// A database that holds nothing, and its server.
fn database(kind: Kind, folder: &Path) -> anyhow::Result<(Option<Postgres>, String)> {
    match kind {
        Kind::Sqlite => Ok((None, format!("sqlite:{}", folder.join("events.db").display()))),
        Kind::Postgres => {
            let server = Postgres::start(&postgres::find()?, folder, &[])?;
            let url = server.url("postgres");
            Ok((Some(server), url))
        }
    }
}

/// The table; there are no bounds.
pub(super) fn outcome(seen: &Seen) -> Outcome {
    let mut table = format!(
        "`make bench ARGS=\"--only events --rounds {}\"` on {} ({} processors), {}:\n\n",
        seen.rounds,
        seen.machine.processor,
        seen.machine.processors,
        seen.machine.programs.join(", "),
    );
    let heads = ["", "plain inserts/s", "requests/s", "events/s, all the way", "/ plain inserts"];
    table += &head(&heads, 1);
    for shown in &seen.rows {
        if let Some(why) = &shown.absent {
            let mut cells = vec![shown.name.clone(), format!("not measured: {}", why.replace('|', "/"))];
            cells.resize(heads.len(), String::new());
            row(&mut table, cells);
            continue;
        }
        let median = |values: Vec<f64>| Spread::of(values).map_or(0.0, |spread| spread.median);
        let processed = || shown.events.iter().map(|events| events.processed);
        let ratio = Spread::of(processed().zip(&shown.inserts).map(|(events, inserts)| events / inserts));
        let cells = [
            shown.name.clone(),
            grouped(median(shown.inserts.clone())),
            grouped(median(shown.events.iter().map(|events| events.sent).collect())),
            grouped(median(processed().collect())),
            ratio
                .map_or("–".to_owned(), |it| format!("**{:.2}** ({:.2}–{:.2})", it.median, it.min, it.max)),
        ];
        row(&mut table, cells);
    }
    Outcome { table, missed: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::tests::results;

    #[test]
    fn events_are_compared_with_inserts_round_by_round() {
        let events = |processed| Measured { sent: 500.0, processed };
        let measured = Row {
            name: "SQLite".to_owned(),
            inserts: vec![1_000.0, 2_000.0],
            events: vec![events(400.0), events(1_000.0)],
            ..Row::default()
        };
        let absent = Row { name: "PostgreSQL".to_owned(), absent: Some("none".to_owned()), ..Row::default() };
        let seen = Seen { machine: results(&[]).machine, rounds: 2, rows: vec![measured, absent] };

        let table = outcome(&seen).table;

        assert!(table.contains("| SQLite | 1,500 | 500 | 700 | **0.45** (0.40–0.50) |\n"), "{table}");
        assert!(table.contains("| PostgreSQL | not measured: none |  |  |  |\n"), "{table}");
    }
}
