use std::collections::HashSet;

use super::Finding;
use super::ledger::{Ledger, added};
use crate::history::{CommandKind, Fields, Micros};
use crate::setup::REQUEST_TIMEOUT;

/// Walks through MONITOR: at each XACK the reply or the dead letter must have come before, or the
/// deadline must have passed. A reply stored in a gap of MONITOR counts if its stream had it by then.
pub(super) fn no_acknowledgement_comes_first(ledger: &Ledger<'_>, finding: &mut Finding) {
    let mut ended = Ended::default();
    let (mut unknown, mut forgiven) = (0, 0);
    for command in &ledger.history.commands {
        match &command.kind {
            CommandKind::Reply(fields) | CommandKind::DeadLetter(fields) => ended.add(fields),
            CommandKind::Acknowledge(entries) => {
                for entry in entries {
                    if ended.has(ledger, entry) {
                        finding.case(None);
                        continue;
                    }
                    match excuse(ledger, entry, command.at) {
                        Excuse::DeadlinePassed => finding.case(None),
                        Excuse::UnknownEntry => unknown += 1,
                        Excuse::NotSeen => forgiven += 1,
                        Excuse::None => finding.case(Some(format!(
                            "{entry} ({}) was acknowledged before its reply or dead letter was stored",
                            ledger.ids.get(entry.as_str()).copied().unwrap_or("no id")
                        ))),
                    }
                }
            }
            _ => {}
        }
    }
    finding.note = format!(
        "not checked: {forgiven} near gaps of MONITOR and {unknown} whose entry the harness did not read"
    );
}

/// What has an end so far: by correlation id and, for dead letters, by entry.
#[derive(Default)]
struct Ended<'a> {
    ids: HashSet<&'a str>,
    entries: HashSet<&'a str>,
}

impl<'a> Ended<'a> {
    fn add(&mut self, fields: &'a Fields) {
        self.ids.extend(fields.id.as_deref());
        self.entries.extend(fields.origin.as_deref());
    }

    fn has(&self, ledger: &Ledger<'_>, entry: &str) -> bool {
        self.entries.contains(entry) || ledger.ids.get(entry).is_some_and(|id| self.ids.contains(id))
    }
}

enum Excuse {
    DeadlinePassed,
    UnknownEntry,
    NotSeen,
    None,
}

fn excuse(ledger: &Ledger<'_>, entry: &str, at: Micros) -> Excuse {
    let request = ledger.ids.get(entry).and_then(|id| ledger.requests.get(id));
    let usual = added(entry) + REQUEST_TIMEOUT.as_micros() as u64;
    let deadline = request.map_or(usual, |request| request.deadline());
    if at + ledger.ahead(at) >= deadline {
        return Excuse::DeadlinePassed;
    }
    let Some(request) = request else {
        return if ledger.own.contains(entry) { Excuse::None } else { Excuse::UnknownEntry };
    };
    let stored_by_then =
        request.replied.iter().chain(&request.dead_lettered).any(|stored| *stored <= at + 1_000);
    let blind = ledger.was_blind(request.added, at);
    if blind && stored_by_then { Excuse::NotSeen } else { Excuse::None }
}

#[cfg(test)]
mod tests {
    use crate::checker::Invariant;
    use crate::checker::sample::Sample;
    use crate::history::CommandKind;

    fn violations(sample: &Sample) -> usize {
        sample.violations(Invariant::ReplyBeforeAcknowledgement)
    }

    #[test]
    fn acknowledging_before_the_reply_is_noticed_after_it_is_good() {
        let mut sample = Sample::default();
        sample.request("good", 0);
        sample.reply("good", 5);
        sample.acknowledge("good", 6);
        assert_eq!(violations(&sample), 0);

        sample.request("bad", 10);
        sample.acknowledge("bad", 15);
        sample.reply("bad", 16);

        assert_eq!(violations(&sample), 1);
    }

    #[test]
    fn a_dead_letter_or_a_passed_deadline_is_as_good_as_a_reply() {
        let mut sample = Sample::default();
        sample.request("a", 0);
        sample.dead_letter("a", 5);
        sample.acknowledge("a", 6);
        sample.request("b", 0);
        sample.acknowledge("b", 6_001);

        assert_eq!(violations(&sample), 0);
    }

    #[test]
    fn a_gap_forgives_a_reply_that_is_on_its_stream_and_no_other() {
        let mut sample = Sample::default();
        sample.request("stored", 0);
        sample.request("not", 0);
        sample.reply("stored", 5);
        let reply = |command: &crate::history::Command| matches!(command.kind, CommandKind::Reply(_));
        sample.history.commands.retain(|command| !reply(command));
        sample.command(5, CommandKind::Gap);

        sample.acknowledge("stored", 10);
        sample.acknowledge("not", 10);

        assert_eq!(violations(&sample), 1);
    }
}
