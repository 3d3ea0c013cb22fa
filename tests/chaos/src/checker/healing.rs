use super::Finding;
use super::ledger::Ledger;

/// Pending and unread entries, waiting callers and dead consumers are gone within this time.
const HEALED_WITHIN_MS: u64 = 10_000;

pub(super) fn nothing_is_left_over(ledger: &Ledger<'_>, finding: &mut Finding) {
    let Some(settled) = &ledger.history.settled else {
        return finding.case(Some("the harness did not look at the system after the run".to_owned()));
    };
    finding.note = format!("after {} ms: {}", settled.after_ms.unwrap_or_default(), settled.last);
    let in_time = settled.after_ms.is_some_and(|ms| ms <= HEALED_WITHIN_MS);
    finding.demand(in_time, || format!("{:?} ms after the last fault: {}", settled.after_ms, settled.last));
    for fault in ledger.history.faults.iter().filter(|fault| fault.failed.is_none()) {
        finding.demand(fault.healed.is_some(), || {
            format!(
                "after {} on {}, both gateways never answered again",
                fault.planned.fault.name(),
                fault.on
            )
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checker::Invariant;
    use crate::checker::sample::Sample;
    use crate::history::Settled;

    #[test]
    fn what_settles_late_or_never_is_noticed() {
        for (after_ms, violations) in [(Some(9_000), 0), (Some(HEALED_WITHIN_MS + 1), 1), (None, 1)] {
            let mut sample = Sample::default();
            sample.history.settled = Some(Settled { after_ms, ..Settled::default() });

            assert_eq!(sample.violations(Invariant::Healed), violations, "{after_ms:?}");
        }
    }
}
