use std::collections::HashMap;

use super::Finding;
use super::ledger::{Ledger, added};
use crate::history::{CommandKind, EventKind, History, Micros, WritingKind};
use crate::setup::CLAIM_MIN_IDLE;

/// Redis itself keeps an idle time in XAUTOCLAIM, so only claims by name can steal. Such a claim
/// must be its owner's (a renewal), or follow an XAUTOCLAIM of the claimer at a time when the lease
/// had run out, judged by every renewal that was recorded.
pub(super) fn no_lease_is_stolen(ledger: &Ledger<'_>, finding: &mut Finding) {
    let idle = CLAIM_MIN_IDLE.as_micros() as u64;
    let mut owners = Owners::of(ledger);
    let auto_claims = auto_claims(ledger.history);
    for command in &ledger.history.commands {
        match &command.kind {
            CommandKind::AutoClaim { consumer, min_idle_ms } => {
                finding.demand(min_idle_ms * 1_000 >= idle, || {
                    format!("{consumer} claims entries that are idle for only {min_idle_ms} ms")
                });
            }
            CommandKind::Claim { consumer, min_idle_ms, entries, hand_back }
                if min_idle_ms * 1_000 < idle =>
            {
                for entry in entries {
                    let other_owner = owners.other_owner(ledger, entry, consumer, command.at);
                    let auto_claimed = |since: Micros| {
                        let claims = auto_claims.get(consumer.as_str());
                        claims.is_some_and(|claims| {
                            claims.iter().any(|at| *at <= command.at && at + SLACK >= since + idle)
                        })
                    };
                    let stolen = other_owner
                        .filter(|(_, since)| !auto_claimed(*since) && !ledger.was_blind(*since, command.at));
                    finding.case(stolen.map(|(other_owner, _)| {
                        format!("{consumer} claimed {entry} while {other_owner} held its lease")
                    }));
                    if *hand_back {
                        owners.handed_back(entry, command.at);
                    } else {
                        owners.claimed(entry, consumer, command.at);
                    }
                }
            }
            _ => {}
        }
    }
}

/// Logs are written a moment after what they tell of.
const SLACK: Micros = 100_000;

/// Who is known to have held an entry: for each consumer the last delivery and sign of it.
struct Owners<'a>(HashMap<&'a str, Vec<Held<'a>>>);

struct Held<'a> {
    consumer: &'a str,
    attempt: u64,
    /// When its worker said so.
    delivered: Micros,
    /// Since when Redis may count it as idle: a worker may say so long after it was given it.
    renewed: Micros,
}

impl<'a> Owners<'a> {
    fn of(ledger: &Ledger<'a>) -> Self {
        let mut owners = Self(HashMap::new());
        let auto_claims = auto_claims(ledger.history);
        let given = |entry: &str, consumer: &str, attempt: u64, said: Micros| {
            let earlier = |claims: &Vec<Micros>| claims.iter().rev().find(|at| **at <= said).copied();
            let claimed = auto_claims.get(consumer).filter(|_| attempt > 1).and_then(earlier);
            claimed.unwrap_or_else(|| added(entry))
        };
        for event in &ledger.history.events {
            if let EventKind::Delivered { entry, attempt } = &event.kind {
                let consumer = &ledger.history.processes[event.process].consumer;
                owners.add(entry, consumer, *attempt, event.at, given(entry, consumer, *attempt, event.at));
            }
        }
        for writing in ledger.history.writings.iter().filter(|it| it.kind == WritingKind::Delivered) {
            owners.add(&writing.entry, &writing.stream, 1, writing.at, added(&writing.entry));
        }
        owners
    }

    fn add(&mut self, entry: &'a str, consumer: &'a str, attempt: u64, delivered: Micros, given: Micros) {
        let held = Held { consumer, attempt, delivered, renewed: given };
        self.0.entry(entry).or_default().push(held);
    }

    /// Who has a better claim to `entry` than `consumer`, and since when it was not renewed.
    fn other_owner(
        &self,
        ledger: &Ledger<'_>,
        entry: &str,
        consumer: &str,
        at: Micros,
    ) -> Option<(&'a str, Micros)> {
        // A delivery before the group vanished counts for nothing.
        let reset = ledger.resets.iter().rev().find(|reset| **reset <= at).map_or(0, |reset| reset + SLACK);
        let known = self.0.get(entry)?.iter().filter(|held| (reset..=at).contains(&held.delivered));
        let last = known.max_by_key(|held| (held.attempt, held.delivered))?;
        (last.consumer != consumer).then_some((last.consumer, last.renewed))
    }

    fn claimed(&mut self, entry: &str, consumer: &str, at: Micros) {
        for held in self.0.get_mut(entry).into_iter().flatten() {
            if held.consumer == consumer && held.delivered <= at {
                held.renewed = at;
            }
        }
    }

    /// Ends the lease of the consumer that held `entry`: every consumer may claim it from now on.
    fn handed_back(&mut self, entry: &str, at: Micros) {
        let run_out = at.saturating_sub(CLAIM_MIN_IDLE.as_micros() as u64);
        for held in self.0.get_mut(entry).into_iter().flatten().filter(|held| held.delivered <= at) {
            held.renewed = run_out;
        }
    }
}

/// The times at which each consumer sent XAUTOCLAIM.
fn auto_claims(history: &History) -> HashMap<&str, Vec<Micros>> {
    let mut claims: HashMap<&str, Vec<Micros>> = HashMap::new();
    for command in &history.commands {
        if let CommandKind::AutoClaim { consumer, .. } = &command.kind {
            claims.entry(consumer).or_default().push(command.at);
        }
    }
    claims
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checker::Invariant;
    use crate::checker::sample::Sample;

    fn violations(sample: &Sample) -> usize {
        sample.violations(Invariant::LeasesRespected)
    }

    /// `one` holds the request since 5 ms.
    fn held() -> Sample {
        let mut sample = Sample::default();
        let worker = sample.worker("one");
        sample.request("a", 0);
        sample.deliver(worker, "a", 1, 5);
        sample
    }

    #[test]
    fn a_claim_of_what_another_holds_is_noticed() {
        let mut sample = held();
        sample.claim("a", "one", 0, 100);
        assert_eq!(violations(&sample), 0, "a renewal");

        sample.claim("a", "rogue", 0, 200);

        assert_eq!(violations(&sample), 1);
    }

    #[test]
    fn a_renewal_by_who_lost_it_is_noticed() {
        let mut sample = held();
        let other = sample.worker("two");
        sample.deliver(other, "a", 2, 1_000);

        sample.claim("a", "two", 0, 1_100);
        assert_eq!(violations(&sample), 0);
        sample.claim("a", "one", 0, 1_200);

        assert_eq!(violations(&sample), 1);
    }

    #[test]
    fn telling_late_what_was_taken_makes_no_thief_of_the_next() {
        let auto_claim =
            |consumer: &str| CommandKind::AutoClaim { consumer: consumer.to_owned(), min_idle_ms: 900 };
        let mut sample = held();
        let (second, third) = (sample.worker("two"), sample.worker("three"));
        sample.command(1_000, auto_claim("two"));
        sample.deliver(second, "a", 2, 1_950);
        sample.command(1_950, auto_claim("three"));

        sample.claim("a", "three", 0, 1_960);
        sample.deliver(third, "a", 3, 1_970);

        assert_eq!(violations(&sample), 0);
    }

    #[test]
    fn what_was_handed_back_may_be_taken_at_once_and_no_sooner() {
        let auto_claim =
            |consumer: &str| CommandKind::AutoClaim { consumer: consumer.to_owned(), min_idle_ms: 900 };
        let hand_back = |sample: &mut Sample, consumer: &str, ms| {
            let (entries, consumer) = (vec![sample.entry("a")], consumer.to_owned());
            sample.command(ms, CommandKind::Claim { consumer, min_idle_ms: 0, entries, hand_back: true });
        };
        let mut sample = held();
        hand_back(&mut sample, "one", 300);
        sample.command(450, auto_claim("two"));
        hand_back(&mut sample, "two", 450);
        sample.command(600, auto_claim("three"));
        sample.claim("a", "three", 0, 600);
        assert_eq!(violations(&sample), 0);

        let mut sample = held();
        sample.command(100, auto_claim("two"));
        hand_back(&mut sample, "two", 100);

        assert_eq!(violations(&sample), 1, "what another holds cannot be handed back");
    }

    #[test]
    fn only_what_was_idle_for_long_may_be_claimed() {
        let auto_claim = |min_idle_ms| CommandKind::AutoClaim { consumer: "two".to_owned(), min_idle_ms };
        let mut sample = held();
        sample.command(1_000, auto_claim(900));
        sample.claim("a", "two", 0, 1_100);
        assert_eq!(violations(&sample), 0);

        sample.command(1_200, auto_claim(100));

        assert_eq!(violations(&sample), 1);
    }
}
