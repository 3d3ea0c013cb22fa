//! The history in order: what became of each request, and where the view was blocked.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::faults::FORGER;
use crate::history::{
    CommandKind, EventKind, Fields, History, Micros, Process, Role, WritingKind, entry_time,
};
use crate::schedule::Fault;
use crate::setup::{REPLIES, REQUEST_TIMEOUT, REQUESTS, dead_letters};

/// Another process's clock is known this well: a sample over a round trip of at most a second is
/// off by up to half of it.
pub const CLOCK_ERROR: Micros = 500_000;

/// With `appendfsync everysec` a killed server may have lost what it wrote last.
const DISK_WINDOW: Micros = 2_000_000;

/// Everything known about one request, by its correlation id.
#[derive(Debug, Default)]
pub struct Request<'a> {
    /// The place it is about.
    pub city: Option<&'a str>,
    /// The place it is about: no other request has it.
    pub location: Option<&'a str>,
    /// When nobody waits any more.
    pub deadline: Option<Micros>,
    /// Its entries; an XADD whose answer was lost is sent again.
    pub entries: Vec<&'a str>,
    /// When it was stored first.
    pub added: Micros,
    /// When replies were stored.
    pub replied: Vec<Micros>,
    /// When dead letters were stored.
    pub dead_lettered: Vec<Micros>,
    /// When entries of it were acknowledged.
    pub acknowledged: Vec<Micros>,
}

/// The history in order.
pub struct Ledger<'a> {
    /// What it was made from.
    pub history: &'a History,
    /// Every request that was stored.
    pub requests: BTreeMap<&'a str, Request<'a>>,
    /// Which entry holds which request.
    pub ids: HashMap<&'a str, &'a str>,
    /// Entries of the request stream that became dead letters, and when.
    pub dead_entries: HashMap<&'a str, Micros>,
    /// What nobody could see: from the last command before a gap to the first one after.
    pub gaps: Vec<(Micros, Micros)>,
    /// When the group or its stream went away.
    pub resets: Vec<Micros>,
    /// Entries the harness wrote itself.
    pub own: HashSet<&'a str>,
}

impl<'a> Ledger<'a> {
    /// Puts `history` in order.
    pub fn of(history: &'a History) -> Self {
        let mut ledger = Self {
            history,
            requests: BTreeMap::new(),
            ids: HashMap::new(),
            dead_entries: HashMap::new(),
            gaps: gaps(history),
            resets: Vec::new(),
            own: history.writings.iter().map(|writing| writing.entry.as_str()).collect(),
        };
        ledger.read_requests();
        ledger.read_ends();
        ledger
    }

    fn read_requests(&mut self) {
        for entry in self.history.entries.iter().filter(|entry| entry.stream == REQUESTS) {
            if let Some(id) = &entry.fields.id {
                self.ids.insert(&entry.entry, id);
            }
            if let Some(request) = self.stored(&entry.fields, entry.added()) {
                request.entries.push(&entry.entry);
            }
        }
        for command in &self.history.commands {
            if let CommandKind::Request(fields) = &command.kind {
                self.stored(fields, command.at);
            }
        }
    }

    fn read_ends(&mut self) {
        for entry in &self.history.entries {
            if entry.stream == dead_letters() {
                self.dead_lettered(&entry.fields, entry.added());
            } else if entry.stream.starts_with(REPLIES) {
                self.replied(&entry.fields, entry.added());
            }
        }
        for command in &self.history.commands {
            match &command.kind {
                CommandKind::Reply(fields) => self.replied(fields, command.at),
                CommandKind::DeadLetter(fields) => self.dead_lettered(fields, command.at),
                CommandKind::Acknowledge(entries) => self.acknowledged(entries, command.at),
                CommandKind::Reset => self.resets.push(command.at),
                _ => {}
            }
        }
    }

    fn stored(&mut self, fields: &'a Fields, at: Micros) -> Option<&mut Request<'a>> {
        let request = self.requests.entry(fields.id.as_deref()?).or_default();
        request.city = fields.city.as_deref().or(request.city);
        request.location = fields.location.as_deref().or(request.location);
        request.deadline = fields.deadline_ms.map(|ms| ms * 1_000).or(request.deadline);
        request.added = if request.added == 0 { at } else { request.added.min(at) };
        Some(request)
    }

    fn replied(&mut self, fields: &'a Fields, at: Micros) {
        let forged = fields.worker.as_deref() == Some(FORGER);
        let request = fields.id.as_deref().and_then(|id| self.requests.get_mut(id));
        if let Some(request) = request.filter(|_| !forged) {
            request.replied.push(at);
        }
    }

    fn acknowledged(&mut self, entries: &[String], at: Micros) {
        for entry in entries {
            let id = self.ids.get(entry.as_str()).copied();
            if let Some(request) = id.and_then(|id| self.requests.get_mut(id)) {
                request.acknowledged.push(at);
            }
        }
    }

    fn dead_lettered(&mut self, fields: &'a Fields, at: Micros) {
        if let Some(origin) = fields.origin.as_deref() {
            let first = self.dead_entries.entry(origin).or_insert(at);
            *first = at.min(*first);
        }
        if let Some(request) = fields.id.as_deref().and_then(|id| self.requests.get_mut(id)) {
            request.dead_lettered.push(at);
        }
    }

    /// True if something that was stored at `added`, and would have been finished at `until`, may have
    /// gone with the data: FLUSHALL, DEL, or a server that was killed.
    pub fn may_be_lost(&self, added: Micros, until: Micros) -> bool {
        self.history.faults.iter().any(|it| match it.planned.fault {
            Fault::FlushAll | Fault::DeleteStream => added <= it.to && it.from <= until,
            Fault::RedisKill => added + DISK_WINDOW >= it.from && added <= it.to,
            _ => false,
        })
    }

    /// True if the view was blocked at some time from `from` to `to`.
    pub fn was_blind(&self, from: Micros, to: Micros) -> bool {
        self.gaps.iter().any(|(start, end)| *start <= to && from <= *end)
    }

    /// For how long the machine did not let the harness run between `from` and `to`.
    pub fn stalled(&self, from: Micros, to: Micros) -> Micros {
        let stalls = self.history.stalls.iter();
        stalls.map(|(start, end)| (*end).min(to).saturating_sub((*start).max(from))).sum()
    }

    /// By how much some worker's clock ran ahead at `at`, its usual error included.
    pub fn ahead(&self, at: Micros) -> Micros {
        let skews = self.workers_at(at).map(|worker| worker.skew_ms.max(0) as u64 * 1_000);
        CLOCK_ERROR + skews.max().unwrap_or(0)
    }

    fn workers_at(&self, at: Micros) -> impl Iterator<Item = &'a Process> {
        let lived = move |it: &&Process| it.started <= at && it.ended.as_ref().is_none_or(|end| end.0 >= at);
        self.history.processes.iter().filter(|it| it.role == Role::Worker).filter(lived)
    }

    /// Processes that ran to the end and told what they counted.
    pub fn ended_in_order(&self, role: Role) -> impl Iterator<Item = (usize, &'a Process)> {
        let processes = self.history.processes.iter().enumerate();
        processes.filter(move |(_, it)| it.role == role && !it.metrics.is_empty())
    }

    /// How many events of `process` are of some kind.
    pub fn events(&self, process: usize, is: impl Fn(&EventKind) -> bool) -> usize {
        self.history.events.iter().filter(|event| event.process == process && is(&event.kind)).count()
    }

    /// Correlation ids the harness sent itself.
    pub fn own_ids(&self) -> HashSet<&'a str> {
        let requests = self.history.writings.iter().filter(|writing| writing.kind == WritingKind::Request);
        requests.filter_map(|writing| writing.id.as_deref()).collect()
    }
}

impl Request<'_> {
    /// When nobody waits any more; one without a deadline has the usual one.
    pub fn deadline(&self) -> Micros {
        self.deadline.unwrap_or(self.added + REQUEST_TIMEOUT.as_micros() as u64)
    }
}

/// From the last command before each gap to the first one after it.
fn gaps(history: &History) -> Vec<(Micros, Micros)> {
    let commands = &history.commands;
    let is_gap = |place: &usize| commands[*place].kind == CommandKind::Gap;
    let seen = |place: &usize| !is_gap(place);
    (0..commands.len())
        .filter(is_gap)
        .map(|gap| {
            let before = (0..gap).rev().find(seen).map_or(0, |place| commands[place].at);
            let after = (gap..commands.len()).find(seen).map_or(Micros::MAX, |place| commands[place].at);
            (before, after)
        })
        .collect()
}

/// When an entry was added, for one that was seen on its stream or not.
pub fn added(entry: &str) -> Micros {
    entry_time(entry)
}
