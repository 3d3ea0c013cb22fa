use serde::Serialize;

use super::Finding;
use super::ledger::{Ledger, Request, added};
use crate::history::{Micros, WritingKind};
use crate::setup::REQUEST_TIMEOUT;
use crate::{POISON_ABORT, POISON_PANIC};

/// A request past its deadline is acknowledged within this time, whatever happens.
const CLEARED_WITHIN: Micros = 15_000_000;

/// How requests ended, by the first that applies.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Outcomes {
    /// A reply was stored.
    pub replied: usize,
    /// It became a dead letter.
    pub dead_lettered: usize,
    /// It was acknowledged after its deadline, or unseen in a gap after it.
    pub expired: usize,
    /// A planted fault deleted it: FLUSHALL, DEL, a killed server.
    pub declared_lost: usize,
    /// None of these: a violation.
    pub unaccounted: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Replied,
    DeadLettered,
    Expired,
    DeclaredLost,
    Unaccounted,
}

/// Counts them.
pub fn outcomes(ledger: &Ledger<'_>) -> Outcomes {
    let mut counts = Outcomes::default();
    for request in ledger.requests.values() {
        *match outcome(ledger, request) {
            Outcome::Replied => &mut counts.replied,
            Outcome::DeadLettered => &mut counts.dead_lettered,
            Outcome::Expired => &mut counts.expired,
            Outcome::DeclaredLost => &mut counts.declared_lost,
            Outcome::Unaccounted => &mut counts.unaccounted,
        } += 1;
    }
    counts
}

pub(super) fn every_admitted_request_ends(ledger: &Ledger<'_>, finding: &mut Finding) {
    for (id, request) in &ledger.requests {
        finding.demand(outcome(ledger, request) != Outcome::Unaccounted, || {
            format!(
                "{id} ({:?}) was stored in {:?}, but its outcome is unknown",
                request.location, request.entries
            )
        });
    }
    for writing in ledger.history.writings.iter().filter(|it| it.kind == WritingKind::Request) {
        let deadline = added(&writing.entry) + REQUEST_TIMEOUT.as_micros() as u64;
        let ended = ledger.dead_entries.contains_key(writing.entry.as_str())
            || writing.id.as_deref().and_then(|id| ledger.requests.get(id)).is_some_and(has_replies)
            || ledger.may_be_lost(added(&writing.entry), deadline);
        finding.demand(ended, || format!("the harness wrote {}, but no worker finished it", writing.entry));
    }
    finding.note = format!("{} dead letters of requests that are not poison", innocent_dead_letters(ledger));
}

/// No promise is broken by them (their callers are answered 502 or their deadline has passed), but
/// they tell how well poison is isolated.
fn innocent_dead_letters(ledger: &Ledger<'_>) -> usize {
    let own = ledger.own_ids();
    let poisonous = |city: &str| [POISON_PANIC, POISON_ABORT].contains(&city);
    let innocent = |(id, request): &(&&str, &Request<'_>)| {
        !request.dead_lettered.is_empty() && !own.contains(**id) && !request.city.is_none_or(poisonous)
    };
    ledger.requests.iter().filter(innocent).count()
}

fn has_replies(request: &Request<'_>) -> bool {
    !request.replied.is_empty()
}

fn outcome(ledger: &Ledger<'_>, request: &Request<'_>) -> Outcome {
    let deadline = request.deadline();
    let expired = |at: &Micros| at + ledger.ahead(*at) >= deadline;
    let dead_lettered = !request.dead_lettered.is_empty()
        || request.entries.iter().any(|entry| ledger.dead_entries.contains_key(entry));
    if has_replies(request) {
        Outcome::Replied
    } else if dead_lettered {
        Outcome::DeadLettered
    } else if request.acknowledged.iter().any(expired) {
        Outcome::Expired
    } else if !request.acknowledged.is_empty() {
        Outcome::Unaccounted
    } else if ledger.may_be_lost(request.added, deadline + CLEARED_WITHIN) {
        Outcome::DeclaredLost
    } else if ledger.was_blind(deadline, deadline + CLEARED_WITHIN) {
        // MONITOR missed the acknowledgement, but nothing was pending at the end.
        Outcome::Expired
    } else {
        Outcome::Unaccounted
    }
}

#[cfg(test)]
mod tests {
    use crate::checker::Invariant;
    use crate::checker::sample::Sample;
    use crate::history::CommandKind;
    use crate::schedule::Fault;

    const HOLDS: usize = 0;

    fn violations(sample: &Sample) -> usize {
        sample.violations(Invariant::NothingLost)
    }

    #[test]
    fn what_was_acknowledged_and_never_answered_is_unaccounted_for() {
        let mut lost = Sample::default();
        lost.request("a", 0);
        lost.acknowledge("a", 10);

        assert_eq!(violations(&lost), 1);
    }

    #[test]
    fn a_request_that_just_vanished_is_unaccounted_for() {
        let mut lost = Sample::default();
        lost.request("a", 0);

        assert_eq!(violations(&lost), 1);
    }

    #[test]
    fn replied_dead_lettered_and_expired_are_ends() {
        let mut good = Sample::default();
        good.request("a", 0);
        good.reply("a", 5);
        good.request("b", 0);
        good.dead_letter("b", 5);
        good.request("c", 0);
        good.acknowledge("c", 6_000);

        assert_eq!(violations(&good), HOLDS);
    }

    #[test]
    fn lost_is_what_was_there_when_the_data_went_and_nothing_else() {
        let mut flushed = Sample::default();
        flushed.request("before", 0);
        flushed.fault(Fault::FlushAll, 10, 11);
        flushed.request("after", 20);

        assert_eq!(violations(&flushed), 1);
    }

    #[test]
    fn an_early_acknowledgement_is_not_excused_by_a_loss() {
        let mut sample = Sample::default();
        sample.request("a", 0);
        sample.acknowledge("a", 5);
        sample.fault(Fault::FlushAll, 10, 11);

        assert_eq!(violations(&sample), 1);
    }

    #[test]
    fn a_gap_excuses_what_may_have_expired_in_it_and_nothing_else() {
        let mut sample = Sample::default();
        sample.request("expired in it", 0);
        sample.command(6_000, CommandKind::Gap);
        sample.request("after", 7_000);
        assert_eq!(violations(&sample), 1, "the one after it");

        sample.request("much later", 60_000);

        assert_eq!(violations(&sample), 2);
    }

    #[test]
    fn a_killed_server_excuses_only_what_it_wrote_last() {
        let mut killed = Sample::default();
        killed.request("long before", 0);
        killed.request("just before", 9_000);
        killed.fault(Fault::RedisKill, 10_000, 10_500);

        assert_eq!(violations(&killed), 1);
    }
}
