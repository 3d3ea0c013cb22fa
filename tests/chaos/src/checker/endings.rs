use super::Finding;
use super::ledger::Ledger;
use crate::history::Role;

/// The exit status as the operating system describes it.
const EXITED_WELL: &str = "exit status: 0";
const KILLED: &str = "signal: 9";
const ABORTED: &str = "signal: 6";

/// A process must exit with 0 or by the signal of a fault: SIGKILL, or SIGABRT from the planted abort of a
/// worker. Every other end means a task that gave up, a drain that failed, or a crash.
pub(super) fn every_end_has_a_reason(ledger: &Ledger<'_>, finding: &mut Finding) {
    for process in &ledger.history.processes {
        let Some((_, how)) = &process.ended else { continue };
        let planted = |signal| how.starts_with(signal);
        let explained =
            how == EXITED_WELL || planted(KILLED) || (process.role == Role::Worker && planted(ABORTED));
        finding.demand(explained, || {
            format!("{} ({}) ended unexpectedly with {how}", process.name, process.consumer)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checker::Invariant;
    use crate::checker::sample::{Sample, time};

    fn ended(role: Role, how: &str) -> Sample {
        let mut sample = Sample::default();
        let process = sample.process("one", role);
        sample.history.processes[process].ended = Some((time(5), how.to_owned()));
        sample
    }

    #[test]
    fn a_process_that_ends_without_a_reason_is_noticed() {
        for (role, how, violations) in [
            (Role::Worker, "exit status: 0", 0),
            (Role::Worker, "signal: 9 (SIGKILL)", 0),
            (Role::Worker, "signal: 6 (SIGABRT) (core dumped)", 0),
            (Role::Ingress, "signal: 6 (SIGABRT) (core dumped)", 1),
            (Role::Worker, "signal: 11 (SIGSEGV)", 1),
            (Role::Worker, "exit status: 1", 1),
            (Role::Ingress, "exit status: 70", 1),
        ] {
            let found = ended(role, how).violations(Invariant::EndsExplained);

            assert_eq!(found, violations, "{role:?} {how}");
        }
    }
}
