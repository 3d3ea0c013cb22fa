use super::Finding;
use super::ledger::Ledger;
use crate::history::Micros;
use crate::setup::REQUEST_TIMEOUT;

/// How much longer than its deadline a call may take, measured by the caller.
const ALLOWANCE: Micros = 1_000_000;

pub(super) fn no_call_outlasts_its_deadline(ledger: &Ledger<'_>, finding: &mut Finding) {
    let longest = REQUEST_TIMEOUT.as_micros() as u64 + ALLOWANCE;
    let mut worst = 0;
    for call in &ledger.history.calls {
        // While the machine did not run the harness, the caller could not see its answer.
        let stalled = ledger.stalled(call.started, call.ended);
        let took = call.ended.saturating_sub(call.started).saturating_sub(stalled);
        worst = worst.max(took);
        finding.demand(took <= longest, || {
            let process = &ledger.history.processes[call.process].name;
            format!("the call for {} at {process} took {} ms", call.location, took / 1_000)
        });
    }
    finding.note = format!("the longest call took {} ms", worst / 1_000);
}

#[cfg(test)]
mod tests {
    use crate::checker::Invariant;
    use crate::checker::sample::{Sample, time};
    use crate::history::Outcome;

    #[test]
    fn a_call_that_takes_too_long_is_noticed() {
        let mut sample = Sample::default();
        sample.worker("ingress");
        sample.call("a", 0, 6_900, Outcome::Left);
        assert_eq!(sample.violations(Invariant::DeadlinesKept), 0);

        sample.call("b", 0, 7_100, Outcome::Left);

        assert_eq!(sample.violations(Invariant::DeadlinesKept), 1);
        sample.history.stalls.push((time(7_000), time(7_300)));
        assert_eq!(sample.violations(Invariant::DeadlinesKept), 0, "the machine stood still");
    }
}
