use std::collections::HashSet;

use super::Finding;
use super::ledger::{CLOCK_ERROR, Ledger};
use crate::history::{Call, Event, EventKind, Micros, Outcome};

/// A worker may start a request this long before a fault erases it. The harness may not have read the entry.
const UNSEEN: Micros = 1_000_000;

/// An execution needs a request on the stream. That request needs a caller, or the harness wrote it.
pub(super) fn nothing_is_executed_unasked(ledger: &Ledger<'_>, finding: &mut Finding) {
    let asked: HashSet<&str> = ledger.history.calls.iter().map(|call| call.location.as_str()).collect();
    let own = ledger.own_ids();
    for (event, id) in executions(ledger) {
        let request = ledger.requests.get(id);
        // If a fault erased the entry before the harness read it, only the worker has seen it.
        let unseen = request.is_none() && ledger.may_be_lost(event.at, event.at + UNSEEN);
        let by_a_caller = request.and_then(|it| it.location).is_some_and(|it| asked.contains(it));
        finding.demand(by_a_caller || own.contains(id) || unseen, || {
            format!("{} executed {id}, but no caller sent that request", name(ledger, event))
        });
    }
}

/// The start is by the clock of the worker, so the planted error of that clock is allowed for.
pub(super) fn nothing_starts_after_its_deadline(ledger: &Ledger<'_>, finding: &mut Finding) {
    for (event, id) in executions(ledger) {
        let Some(request) = ledger.requests.get(id) else { continue };
        let behind = ledger.history.processes[event.process].skew_ms.min(0).unsigned_abs() * 1_000;
        let latest = request.deadline() + behind + CLOCK_ERROR;
        finding.demand(event.at <= latest, || {
            let late = (event.at - request.deadline()) / 1_000;
            format!("{} started {id} {late} ms after its deadline", name(ledger, event))
        });
    }
    finding.note = format!("allowed clock error: {} ms plus the planted error", CLOCK_ERROR / 1_000);
}

/// An answer is a refusal if its status is 4xx or its detail says that nothing was done.
pub(super) fn what_was_refused_was_not_done(ledger: &Ledger<'_>, finding: &mut Finding) {
    let executed: HashSet<&str> = executions(ledger).map(|(_, id)| id).collect();
    let stored: HashSet<&str> = ledger.requests.values().filter_map(|request| request.location).collect();
    for call in ledger.history.calls.iter().filter(|call| was_refused(call)) {
        let Outcome::Answered(answer) = &call.outcome else { continue };
        let done = ledger.requests.contains_key(answer.id.as_str())
            || executed.contains(answer.id.as_str())
            || stored.contains(call.location.as_str());
        finding.demand(!done, || {
            format!("{} was refused with {}, but was stored or executed", answer.id, answer.status)
        });
    }
}

fn was_refused(call: &Call) -> bool {
    let Outcome::Answered(answer) = &call.outcome else { return false };
    let says_so = answer.detail.as_deref().is_some_and(|detail| detail.contains("nothing was done"));
    (400..500).contains(&answer.status) || says_so
}

fn executions<'a>(ledger: &Ledger<'a>) -> impl Iterator<Item = (&'a Event, &'a str)> {
    ledger.history.events.iter().filter_map(|event| match &event.kind {
        EventKind::Executing { id, .. } => Some((event, id.as_str())),
        _ => None,
    })
}

fn name<'a>(ledger: &Ledger<'a>, event: &Event) -> &'a str {
    &ledger.history.processes[event.process].consumer
}

#[cfg(test)]
mod tests {
    use crate::checker::Invariant;
    use crate::checker::sample::{Sample, good_answer};
    use crate::history::Answer;

    #[test]
    fn an_execution_without_a_caller_is_noticed() {
        let mut sample = Sample::default();
        let worker = sample.worker("w");
        sample.request("a", 0);
        sample.execute(worker, "a", 5);
        assert_eq!(sample.violations(Invariant::NoStrangeExecution), 0);

        sample.execute(worker, "of nobody", 5);

        assert_eq!(sample.violations(Invariant::NoStrangeExecution), 1);
    }

    #[test]
    fn a_start_past_the_deadline_is_noticed_unless_a_clock_was_set() {
        let mut sample = Sample::default();
        let worker = sample.worker("w");
        sample.request("a", 0);
        sample.execute(worker, "a", 6_400);
        assert_eq!(sample.violations(Invariant::NoLateExecution), 0);

        sample.execute(worker, "a", 7_000);
        assert_eq!(sample.violations(Invariant::NoLateExecution), 1);

        sample.history.processes[worker].skew_ms = -2_000;
        assert_eq!(sample.violations(Invariant::NoLateExecution), 0);
    }

    #[test]
    fn a_refused_request_that_is_stored_is_noticed() {
        let detail = Some("too many requests are waiting: nothing was done; try again".to_owned());
        let refusals =
            [Answer { status: 503, detail, ..good_answer("a") }, Answer { status: 422, ..good_answer("a") }];
        for refusal in refusals {
            let mut sample = Sample::default();
            sample.answer("a", refusal);
            assert_eq!(sample.violations(Invariant::RefusedMeansNotDone), 0);

            sample.request("a", 0);

            assert_eq!(sample.violations(Invariant::RefusedMeansNotDone), 1);
        }
    }
}
