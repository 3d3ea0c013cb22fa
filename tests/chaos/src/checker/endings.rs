use super::Finding;
use super::ledger::Ledger;
use crate::history::Role;

/// The texts of the standard library for the end of a process.
const EXITED_WELL: &str = "exit status: 0";
const KILLED: &str = "signal: 9";
const ABORTED: &str = "signal: 6";

/// A process may end with exit status 0, by kill -9 or, if it is a worker, by the planted abort. Any other end
/// is a crash, a failed drain, or a task that stopped by itself.
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
