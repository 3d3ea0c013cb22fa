use std::fmt::Write;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use streamgate::connection::{Error, ErrorKind};
use streamgate::stream::{
    Entry, EntryId, GroupHealth, PendingEntry, PendingQuery, PendingSummary, ReadError, Source, StreamInfo,
};

use super::Rates;
use crate::message::{Event, EventCodec, Events};
use crate::settings::What;

/// The longest time to read a snapshot.
const PATIENCE: Duration = Duration::from_secs(5);

/// The state of the system at one moment.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The key of the stream.
    pub name: String,
    /// The name of the group of this system.
    pub group_name: String,
    /// The stream; `None` if it does not exist.
    pub stream: Option<StreamInfo>,
    /// The newest messages, newest first, or why an entry is none.
    pub messages: Vec<(EntryId, Result<Event, String>)>,
    /// The groups of the stream.
    pub groups: Vec<GroupHealth>,
    /// What the group of this system holds.
    pub pending: PendingSummary,
    /// The oldest entries that it holds.
    pub pending_entries: Vec<PendingEntry>,
    /// Entries that were given up.
    pub dead_letters: u64,
}

impl Snapshot {
    /// Reads the state of `events` and of `group`, with at most `count` messages and pending entries.
    ///
    /// # Errors
    /// Redis cannot be reached, or refuses a command.
    pub async fn read(events: &Events, group: &str, count: usize) -> Result<Self, ReadError> {
        // Pages of entries wait for a server that is away; an overview does not.
        let reading = tokio::time::timeout(PATIENCE, Self::read_now(events, group, count)).await;
        reading.unwrap_or_else(|_| Err(Error::new(ErrorKind::Unreachable, "no answer in time").into()))
    }

    async fn read_now(events: &Events, group: &str, count: usize) -> Result<Self, ReadError> {
        let stream = events.stream();
        let info = stream.info().await?;
        let mut newest = stream.rev_range(..);
        let mut messages = Vec::new();
        while messages.len() < count
            && let Some(item) = newest.next().await
        {
            let item = item?;
            let entry = Entry { id: item.id, fields: item.value };
            messages.push((entry.id, entry.decode(&EventCodec).map_err(|error| error.to_string())));
        }
        let query = PendingQuery { most: count, ..PendingQuery::default() };
        let (pending, pending_entries) = match stream.pending(group).await {
            Ok(pending) => (pending, stream.pending_entries(group, &query).await?),
            Err(error) if error.kind() == ErrorKind::NoGroup => Default::default(),
            Err(error) => return Err(error.into()),
        };
        Ok(Self {
            name: events.key().to_string(),
            group_name: group.to_owned(),
            stream: info,
            messages,
            groups: stream.groups().await?,
            pending,
            pending_entries,
            dead_letters: stream.dead_letters().count().await?,
        })
    }

    /// The group of this system.
    pub fn group(&self) -> Option<&GroupHealth> {
        self.groups.iter().find(|group| group.name == self.group_name)
    }

    /// A part as JSON. Times are milliseconds, or RFC 3339.
    pub fn json(&self, what: What) -> Value {
        let id = |id: Option<EntryId>| id.map(|id| id.to_string());
        let info = self.stream.as_ref();
        let [first, last] = [info.and_then(|it| it.first.as_ref()), info.and_then(|it| it.last.as_ref())];
        let message = |(id, message): &(EntryId, Result<Event, String>)| match message {
            Ok(event) => json!({
                "id": id.to_string(), "producer": event.message.producer, "content": event.message.content,
                "createdAt": event.created_at().map(|at| at.to_string()),
            }),
            Err(error) => json!({ "id": id.to_string(), "error": error }),
        };
        let group = |group: &GroupHealth| {
            let consumers = group.consumers.iter().map(
                |it| json!({ "name": it.name, "pending": it.pending, "idleMs": it.idle.as_millis() as u64 }),
            );
            json!({
                "name": group.name, "pending": group.pending, "lag": group.lag,
                "lastDelivered": group.last_delivered.to_string(), "consumers": consumers.collect::<Vec<_>>(),
            })
        };
        let held = |it: &PendingEntry| {
            json!({
                "id": it.id.to_string(), "consumer": it.consumer, "idleMs": it.idle.as_millis() as u64,
                "deliveries": it.deliveries,
            })
        };
        let holders = self.pending.by_consumer.iter().map(|(name, count)| (name.clone(), json!(count)));
        let mut all = json!({
            "stream": {
                "name": self.name, "length": info.map_or(0, |info| info.length),
                "entriesAdded": info.map_or(0, |info| info.entries_added),
                "first": id(first.map(|it| it.id)), "last": id(last.map(|it| it.id)),
                "deadLetters": self.dead_letters,
            },
            "entries": self.messages.iter().map(message).collect::<Vec<_>>(),
            "groups": self.groups.iter().map(group).collect::<Vec<_>>(),
            "pending": {
                "count": self.pending.count, "first": id(self.pending.first), "last": id(self.pending.last),
                "byConsumer": holders.collect::<serde_json::Map<_, _>>(),
                "entries": self.pending_entries.iter().map(held).collect::<Vec<_>>(),
            },
        });
        match what {
            What::All | What::Live => all,
            What::Stream => all["stream"].take(),
            What::Entries => all["entries"].take(),
            What::Groups => all["groups"].take(),
            What::Pending => all["pending"].take(),
        }
    }

    /// A part for people.
    pub fn text(&self, what: What) -> String {
        let mut text = String::new();
        let is_asked = |part| [part, What::All].contains(&what);
        if is_asked(What::Stream) {
            let (length, added) =
                self.stream.as_ref().map_or((0, 0), |info| (info.length, info.entries_added));
            let (name, letters) = (&self.name, self.dead_letters);
            text += &format!("stream {name}: length {length}, ever {added}, dead letters {letters}\n");
        }
        if is_asked(What::Entries) {
            text += "newest messages\n";
            self.lines().for_each(|line| text += &format!("  {line}\n"));
        }
        for group in self.groups.iter().filter(|_| is_asked(What::Groups)) {
            let (name, pending, lag) = (printable(&group.name), group.pending, lag(Some(group)));
            text +=
                &format!("group {name}: pending {pending}, lag {lag}, read to {}\n", group.last_delivered);
            for it in &group.consumers {
                let (name, idle) = (printable(&it.name), it.idle.as_millis());
                text += &format!("  consumer {name}: pending {}, silent for {idle} ms\n", it.pending);
            }
        }
        if is_asked(What::Pending) {
            text += &format!("pending {}{}\n", self.pending.count, self.holders());
            for it in &self.pending_entries {
                let (id, holder, idle) = (it.id, printable(&it.consumer), it.idle.as_millis());
                text += &format!("  {id}: {holder}, delivered {} times, idle for {idle} ms\n", it.deliveries);
            }
        }
        text
    }

    /// The newest messages, a line for each.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        self.messages.iter().map(|(id, message)| match message {
            Ok(Event { message, .. }) => {
                format!("{id} {}: {}", printable(&message.producer), printable(&message.content))
            }
            Err(error) => format!("{id} is no message: {}", printable(error)),
        })
    }

    /// All in one line.
    pub fn line(&self, rates: Rates) -> String {
        let length = self.stream.as_ref().map_or(0, |info| info.length);
        format!(
            "{} in {:.1}/s, out {:.1}/s, length {length}, lag {}, pending {}{}, dead letters {}",
            Timestamp::now().strftime("%H:%M:%S"),
            rates.written,
            rates.done,
            lag(self.group()),
            self.pending.count,
            self.holders(),
            self.dead_letters
        )
    }

    /// Who holds how many entries.
    fn holders(&self) -> String {
        let mut text = String::new();
        for (number, (name, count)) in self.pending.by_consumer.iter().enumerate() {
            // Writing to a string does not fail.
            let _ = write!(text, "{}{} {count}", if number == 0 { " (" } else { ", " }, printable(name));
        }
        if text.is_empty() { text } else { text + ")" }
    }
}

fn lag(group: Option<&GroupHealth>) -> String {
    group.and_then(|group| group.lag).map_or("unknown".to_owned(), |lag| lag.to_string())
}

/// Text of others without control characters, which a terminal would obey.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}
