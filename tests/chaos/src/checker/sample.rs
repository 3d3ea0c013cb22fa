//! Small histories for the tests of the checker. Times are in milliseconds from its start.

use super::{Invariant, check};
use crate::history::{
    Answer, Call, Command, CommandKind, Entry, Event, EventKind, Fields, History, Injected, Micros, Outcome,
    Process, Role, Wish, Writing, WritingKind,
};
use crate::schedule::{Fault, Planned};
use crate::setup::{REPLIES, REQUEST_TIMEOUT, REQUESTS, dead_letters};

/// Long enough ago for anything before.
const START_MS: u64 = 1_000_000;

pub(super) fn time(ms: u64) -> Micros {
    (START_MS + ms) * 1_000
}

/// A history in the making; request `a` is about `quarter a` in `city a`.
#[derive(Default)]
pub(super) struct Sample {
    pub(super) history: History,
}

impl Sample {
    pub(super) fn violations(&self, invariant: Invariant) -> usize {
        let findings = check(&self.history);
        let finding = findings.into_iter().find(|finding| finding.invariant == invariant);
        finding.expect("every invariant is checked").violations.len()
    }

    /// The entry of the request `id` that was added at `ms`.
    pub(super) fn entry(&self, id: &str) -> String {
        let of_it = |entry: &&Entry| entry.stream == REQUESTS && entry.fields.id.as_deref() == Some(id);
        self.history.entries.iter().find(of_it).expect("it was added").entry.clone()
    }

    pub(super) fn command(&mut self, ms: u64, kind: CommandKind) {
        self.history.commands.push(Command { at: time(ms), kind });
    }

    pub(super) fn request(&mut self, id: &str, ms: u64) {
        let deadline_ms = Some(START_MS + ms + REQUEST_TIMEOUT.as_millis() as u64);
        let fields = Fields { deadline_ms, body_id: None, ..about(id) };
        self.command(ms, CommandKind::Request(fields.clone()));
        self.add(REQUESTS, ms, fields);
        self.call(id, ms, ms + 10, Outcome::Left);
    }

    pub(super) fn reply(&mut self, id: &str, ms: u64) {
        self.reply_about(id, id, ms);
    }

    pub(super) fn reply_about(&mut self, id: &str, other: &str, ms: u64) {
        let fields = Fields { id: Some(id.to_owned()), status: Some(200), ..about(other) };
        self.command(ms, CommandKind::Reply(fields.clone()));
        self.add(REPLIES, ms, fields);
    }

    pub(super) fn dead_letter(&mut self, id: &str, ms: u64) {
        let fields = Fields { origin: Some(self.entry(id)), ..about(id) };
        self.command(ms, CommandKind::DeadLetter(fields.clone()));
        self.add(&dead_letters(), ms, fields);
    }

    pub(super) fn acknowledge(&mut self, id: &str, ms: u64) {
        let entries = vec![self.entry(id)];
        self.command(ms, CommandKind::Acknowledge(entries));
    }

    pub(super) fn claim(&mut self, id: &str, consumer: &str, min_idle_ms: u64, ms: u64) {
        let (entries, consumer) = (vec![self.entry(id)], consumer.to_owned());
        self.command(ms, CommandKind::Claim { consumer, min_idle_ms, entries, hand_back: false });
    }

    pub(super) fn worker(&mut self, consumer: &str) -> usize {
        self.process(consumer, Role::Worker)
    }

    pub(super) fn process(&mut self, name: &str, role: Role) -> usize {
        self.history.processes.push(Process {
            name: name.to_owned(),
            role,
            consumer: name.to_owned(),
            skew_ms: 0,
            pid: 1,
            started: time(0),
            ended: None,
            metrics: Default::default(),
        });
        self.history.processes.len() - 1
    }

    pub(super) fn event(&mut self, process: usize, ms: u64, kind: EventKind) {
        self.history.events.push(Event { at: time(ms), process, kind });
    }

    pub(super) fn deliver(&mut self, process: usize, id: &str, attempt: u64, ms: u64) {
        let entry = self.entry(id);
        self.event(process, ms, EventKind::Delivered { entry, attempt });
    }

    pub(super) fn execute(&mut self, process: usize, id: &str, ms: u64) {
        self.event(process, ms, EventKind::Executing { id: id.to_owned(), entry: "1-0".to_owned() });
    }

    pub(super) fn call(&mut self, id: &str, from: u64, to: u64, outcome: Outcome) {
        self.history.calls.push(Call {
            wish: Wish::Forecast,
            city: format!("city {id}"),
            location: format!("quarter {id}"),
            process: 0,
            intended: time(from),
            started: time(from),
            ended: time(to),
            outcome,
        });
    }

    pub(super) fn answer(&mut self, id: &str, answer: Answer) {
        self.call(id, 0, 10, Outcome::Answered(answer));
    }

    pub(super) fn fault(&mut self, fault: Fault, from: u64, to: u64) {
        let planned = Planned { at: Default::default(), fault, target: 0, lasts: Default::default() };
        let (from, to) = (time(from), time(to));
        self.history.faults.push(Injected {
            planned,
            on: String::new(),
            from,
            to,
            healed: Some(to),
            failed: None,
        });
    }

    /// An entry on the plain reply stream that is no reply.
    pub(super) fn garbage(&mut self, ms: u64) {
        self.add(REPLIES, ms, Fields::default());
        let (kind, stream, at) = (WritingKind::Garbage, REPLIES.to_owned(), time(ms));
        self.history.writings.push(Writing { kind, stream, entry: String::new(), id: None, at });
    }

    fn add(&mut self, stream: &str, ms: u64, fields: Fields) {
        let entry = format!("{}-{}", START_MS + ms, self.history.entries.len());
        self.history.entries.push(Entry { stream: stream.to_owned(), entry, fields });
    }
}

/// An answer as it should be.
pub(super) fn good_answer(id: &str) -> Answer {
    Answer {
        status: 200,
        id: id.to_owned(),
        body_id: Some(id.to_owned()),
        city: Some(format!("city {id}")),
        location: Some(format!("quarter {id}")),
        detail: None,
    }
}

fn about(id: &str) -> Fields {
    Fields {
        id: Some(id.to_owned()),
        body_id: Some(id.to_owned()),
        city: Some(format!("city {id}")),
        location: Some(format!("quarter {id}")),
        ..Fields::default()
    }
}
