use super::Finding;
use super::ledger::Ledger;
use crate::history::{EventKind, History, Micros, Outcome, Wish};

/// Even the worst schedule leaves enough time without a fault to answer this share of the forecasts.
const LEAST_ANSWERED: f64 = 0.2;

/// If the machine did not run the harness for more than this share of the run, the measurements prove nothing.
const MOST_STALLED: f64 = 0.05;

/// An empty history violates no other invariant, so it must fail here.
pub(super) fn the_run_shows_something(ledger: &Ledger<'_>, finding: &mut Finding) {
    let history = ledger.history;
    for fault in &history.faults {
        let failed = fault.failed.as_deref();
        let name = fault.planned.fault.name();
        finding.case(failed.map(|why| format!("{name} could not be injected: {why}")));
    }
    let forecasts: Vec<_> = history.calls.iter().filter(|call| call.wish == Wish::Forecast).collect();
    let good = |outcome: &Outcome| matches!(outcome, Outcome::Answered(answer) if answer.status == 200);
    let answered = forecasts.iter().filter(|call| good(&call.outcome)).count();
    let (sent, executed) = (forecasts.len(), executions(ledger));
    finding.demand(sent > 0 && answered as f64 >= sent as f64 * LEAST_ANSWERED, || {
        format!("only {answered} of {sent} forecasts were answered 200")
    });
    finding.demand(executed >= answered / 2, || {
        format!("the logs show only {executed} executions for {answered} answers")
    });
    finding.demand(!history.commands.is_empty(), || "MONITOR recorded no command".to_owned());
    finding.demand(!history.entries.is_empty(), || "no entry was read from any stream".to_owned());
    let (stalled, lasted) = (ledger.stalled(0, Micros::MAX), lasted(history));
    finding.demand(stalled as f64 <= lasted as f64 * MOST_STALLED, || {
        format!(
            "the machine was too busy: the harness could not run for {} of {} ms",
            stalled / 1_000,
            lasted / 1_000
        )
    });
    finding.note = format!(
        "{answered} of {sent} forecasts answered, {executed} executions; the harness could not run for {} ms",
        stalled / 1_000
    );
}

fn lasted(history: &History) -> Micros {
    let first = history.calls.iter().map(|call| call.started).min().unwrap_or(0);
    history.calls.iter().map(|call| call.ended).max().unwrap_or(0) - first
}

fn executions(ledger: &Ledger<'_>) -> usize {
    let events = &ledger.history.events;
    events.iter().filter(|event| matches!(event.kind, EventKind::Executing { .. })).count()
}

#[cfg(test)]
mod tests {
    use crate::checker::Invariant;
    use crate::checker::sample::Sample;
    use crate::schedule::Fault;

    #[test]
    fn an_empty_history_does_not_pass() {
        assert!(Sample::default().violations(Invariant::Evidence) > 0);
    }

    #[test]
    fn a_fault_that_could_not_be_injected_does_not_pass() {
        let mut sample = Sample::default();
        let before = sample.violations(Invariant::Evidence);
        sample.fault(Fault::Misconf, 0, 1);
        sample.history.faults[0].failed = Some("no".to_owned());

        assert_eq!(sample.violations(Invariant::Evidence), before + 1);
    }
}
