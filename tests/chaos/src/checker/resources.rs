use std::collections::HashSet;

use super::Finding;
use super::ledger::Ledger;
use crate::history::{History, Measured, Micros, Role};
use crate::setup::{
    DEAD_LETTERS_KEPT, REPLIES, REQUEST_TIMEOUT, REQUESTS, RETENTION_ENTRIES, dead_letters, named_lane,
};

const MB: u64 = 1 << 20;

/// Redis may need this much more than after the warm-up.
const REDIS_GROWTH: u64 = 32 * MB;
/// A process may need twice its baseline and this.
const RESIDENT_GROWTH: u64 = 48 * MB;
/// A process may have this many more descriptors open.
const MORE_DESCRIPTORS: u64 = 16;
/// The request stream may be this many times as long as its retention: the trim position is interpolated.
const RETENTION_SLACK: u64 = 3;
/// Redis cuts dead letters by whole nodes of a hundred entries.
const DEAD_LETTERS_SLACK: u64 = 200;
/// A lane is left alone below this length, and cut by whole nodes.
const LANE_KEPT: u64 = 1_200;
/// A lane is cut every five seconds, five seconds after the longest deadline.
const LANE_AGE: Micros = REQUEST_TIMEOUT.as_micros() as u64 + 12_000_000;

pub(super) fn everything_is_back_to_its_baseline(ledger: &Ledger<'_>, finding: &mut Finding) {
    let history = ledger.history;
    let (Some(before), Some(settled)) = (&history.baseline, &history.settled) else {
        return finding.case(Some("the harness did not measure the resources".to_owned()));
    };
    let after = &settled.measured;
    let mut bound = |what: String, value: u64, most: u64| {
        finding.demand(value <= most, || format!("{what} is {value}; the limit is {most}"));
    };
    for (stream, length) in &after.lengths {
        bound(format!("the length of {stream}"), *length, longest(history, stream));
    }
    bound("the memory of Redis".to_owned(), after.redis_bytes, before.redis_bytes + REDIS_GROWTH);
    for (process, bytes) in &after.resident {
        let base = baseline(history, &before.resident, *process);
        bound(format!("the memory of {}", name(history, *process)), *bytes, base * 2 + RESIDENT_GROWTH);
    }
    for (process, open) in &after.descriptors {
        let base = baseline(history, &before.descriptors, *process);
        bound(format!("open descriptors of {}", name(history, *process)), *open, base + MORE_DESCRIPTORS);
    }
    finding.note = summary(before, after);
}

fn longest(history: &History, stream: &str) -> u64 {
    if stream == REQUESTS {
        return RETENTION_ENTRIES * RETENTION_SLACK;
    }
    if stream == dead_letters() {
        return DEAD_LETTERS_KEPT + DEAD_LETTERS_SLACK;
    }
    debug_assert!(stream == REPLIES || stream == named_lane());
    let of_it = || history.entries.iter().filter(|entry| entry.stream == stream);
    let last = of_it().map(|entry| entry.added()).max().unwrap_or(0);
    let young = of_it().filter(|entry| entry.added() + LANE_AGE >= last);
    // Replies may share an entry.
    let young: HashSet<&str> = young.map(|reply| reply.entry.as_str()).collect();
    LANE_KEPT + young.len() as u64
}

/// The largest baseline of all processes with the same role as `process`.
fn baseline(history: &History, before: &std::collections::BTreeMap<usize, u64>, process: usize) -> u64 {
    let role = |process: usize| -> Option<Role> { history.processes.get(process).map(|it| it.role) };
    let same = before.iter().filter(|(other, _)| role(**other) == role(process));
    same.map(|(_, value)| *value).max().unwrap_or(0)
}

fn name(history: &History, process: usize) -> &str {
    history.processes.get(process).map_or("?", |process| &process.name)
}

fn summary(before: &Measured, after: &Measured) -> String {
    let largest = |map: &std::collections::BTreeMap<usize, u64>| map.values().copied().max().unwrap_or(0);
    format!(
        "Redis {} → {} MB, largest process {} → {} MB, descriptors {} → {}",
        before.redis_bytes / MB,
        after.redis_bytes / MB,
        largest(&before.resident) / MB,
        largest(&after.resident) / MB,
        largest(&before.descriptors),
        largest(&after.descriptors),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checker::Invariant;
    use crate::checker::sample::Sample;
    use crate::history::Settled;

    fn violations(change: impl FnOnce(&mut Measured)) -> usize {
        let mut sample = Sample::default();
        let process = sample.worker("w");
        let usual = Measured {
            lengths: [(REQUESTS.to_owned(), 10)].into(),
            redis_bytes: MB,
            resident: [(process, 20 * MB)].into(),
            descriptors: [(process, 20)].into(),
        };
        sample.history.baseline = Some(usual.clone());
        let mut measured = usual;
        change(&mut measured);
        sample.history.settled = Some(Settled { measured, ..Settled::default() });
        sample.violations(Invariant::ResourcesBack)
    }

    #[test]
    fn each_kind_of_growth_is_noticed() {
        assert_eq!(violations(|_| {}), 0);
        assert_eq!(violations(|it| it.redis_bytes = 100 * MB), 1);
        assert_eq!(violations(|it| *it.resident.entry(0).or_default() = 500 * MB), 1);
        assert_eq!(violations(|it| *it.descriptors.entry(0).or_default() = 50), 1);
        assert_eq!(violations(|it| *it.lengths.entry(REQUESTS.to_owned()).or_default() = 10_000), 1);
    }
}
