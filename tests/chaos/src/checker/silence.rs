use super::Finding;
use super::ledger::Ledger;
use crate::PLANTED_PANIC;
use crate::history::{EventKind, Outcome};
use crate::setup::PASSWORD;

pub(super) fn no_process_panicked(ledger: &Ledger<'_>, finding: &mut Finding) {
    let mut planted = 0;
    for event in &ledger.history.events {
        let name = &ledger.history.processes[event.process].name;
        match &event.kind {
            EventKind::Panic(text) if text.starts_with(PLANTED_PANIC) => planted += 1,
            EventKind::Panic(text) => finding.case(Some(format!("{name} panicked: {text}"))),
            EventKind::Garbage(text) => {
                finding.case(Some(format!("{name} wrote a line that is not a log line: {text:?}")))
            }
            _ => finding.case(None),
        }
    }
    finding.note = format!("{planted} planted panics");
}

pub(super) fn no_process_reveals_a_secret(ledger: &Ledger<'_>, finding: &mut Finding) {
    for event in &ledger.history.events {
        let told = match &event.kind {
            EventKind::Secret(line) => Some(line),
            _ => None,
        };
        let name = &ledger.history.processes[event.process].name;
        finding.case(told.map(|line| format!("{name} logged a secret: {line:?}")));
    }
    for call in &ledger.history.calls {
        let Outcome::Answered(answer) = &call.outcome else { continue };
        let told = answer.detail.as_deref().is_some_and(|detail| detail.contains(PASSWORD));
        finding.demand(!told, || format!("an answer contains the password: {:?}", answer.detail));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checker::Invariant;
    use crate::checker::sample::{Sample, good_answer};
    use crate::history::Answer;

    #[test]
    fn a_panic_that_was_not_planted_is_noticed_and_so_is_garbage() {
        let mut sample = Sample::default();
        let worker = sample.worker("w");
        sample.event(worker, 0, EventKind::Panic(format!("{PLANTED_PANIC} at a.rs:1")));
        assert_eq!(sample.violations(Invariant::NoPanic), 0);

        sample.event(worker, 0, EventKind::Panic("index out of bounds".to_owned()));
        sample.event(worker, 0, EventKind::Garbage("stack overflow".to_owned()));

        assert_eq!(sample.violations(Invariant::NoPanic), 2);
    }

    #[test]
    fn a_secret_is_noticed_in_a_log_and_in_an_answer() {
        let mut sample = Sample::default();
        let worker = sample.worker("w");
        sample.event(worker, 0, EventKind::Secret("url".to_owned()));
        sample.answer("a", Answer { detail: Some(format!("redis://:{PASSWORD}@")), ..good_answer("a") });

        assert_eq!(sample.violations(Invariant::NoSecret), 2);
    }
}
