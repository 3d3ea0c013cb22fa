//! The commands that Redis executed and the entries that its streams held.

use serde::{Deserialize, Serialize};

use super::Micros;

/// A command that Redis executed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// When, by the server.
    pub at: Micros,
    /// What.
    pub kind: CommandKind,
}

/// The commands that the checker looks at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum CommandKind {
    /// A request was added.
    Request(Fields),
    /// A reply was added.
    Reply(Fields),
    /// A dead letter was added.
    DeadLetter(Fields),
    /// Entries were acknowledged.
    Acknowledge(Vec<String>),
    /// Entries were claimed by name.
    Claim {
        /// For whom.
        consumer: String,
        /// From which idle time on.
        min_idle_ms: u64,
        /// Which.
        entries: Vec<String>,
        /// True if a stopping worker handed the entries back, so that any worker may claim them at once.
        hand_back: bool,
    },
    /// Idle entries were claimed.
    AutoClaim {
        /// For whom.
        consumer: String,
        /// From which idle time on.
        min_idle_ms: u64,
    },
    /// The group or its stream went away.
    Reset,
    /// The connection broke here: what was executed meanwhile was not seen.
    Gap,
}

/// What the checker wants to know of an entry.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fields {
    /// `id`.
    pub id: Option<String>,
    /// `deadline`, in milliseconds.
    pub deadline_ms: Option<u64>,
    /// `worker` of a reply.
    pub worker: Option<String>,
    /// `status` of a reply.
    pub status: Option<u16>,
    /// `dlq_origin_id` of a dead letter.
    pub origin: Option<String>,
    /// `requestId` of the body.
    pub body_id: Option<String>,
    /// `city` of the body.
    pub city: Option<String>,
    /// `location` of the body.
    pub location: Option<String>,
}

impl Fields {
    /// Out of the names and values of an entry with replies: each begins with its `id`, and has worker and
    /// status of the one before if it says nothing.
    pub fn read_replies<'a>(pairs: impl IntoIterator<Item = (&'a [u8], &'a [u8])>) -> Vec<Self> {
        let pairs: Vec<_> = pairs.into_iter().collect();
        let replies = pairs.chunk_by(|_, (name, _)| *name != b"id");
        let (mut worker, mut status) = (None, None);
        let read = |reply: &[(&'a [u8], &'a [u8])]| {
            let fields = Self::read(reply.iter().copied());
            worker = fields.worker.or(worker.take());
            status = fields.status.or(status);
            Self { worker: worker.clone(), status, ..fields }
        };
        replies.map(read).collect()
    }

    /// Out of the names and values of an entry.
    pub fn read<'a>(pairs: impl IntoIterator<Item = (&'a [u8], &'a [u8])>) -> Self {
        let mut fields = Self::default();
        for (name, value) in pairs {
            let text = || String::from_utf8_lossy(value).into_owned();
            match name {
                b"id" => fields.id = Some(text()),
                b"deadline" => fields.deadline_ms = text().parse().ok(),
                b"worker" => fields.worker = Some(text()),
                b"status" => fields.status = text().parse().ok(),
                b"dlq_origin_id" => fields.origin = Some(text()),
                b"body" => {
                    let body: serde_json::Value = serde_json::from_slice(value).unwrap_or_default();
                    let member = |name: &str| body[name].as_str().map(str::to_owned);
                    fields.body_id = member("requestId");
                    fields.city = member("city");
                    fields.location = member("location");
                }
                _ => {}
            }
        }
        fields
    }
}

/// An entry as it was read from its stream.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Entry {
    /// The stream.
    pub stream: String,
    /// Its id there.
    pub entry: String,
    /// What it holds.
    pub fields: Fields,
}

impl Entry {
    /// When it was added, to the millisecond.
    pub fn added(&self) -> Micros {
        entry_time(&self.entry)
    }
}

/// When an entry was added, by its id.
pub fn entry_time(entry: &str) -> Micros {
    let ms = entry.split('-').next().and_then(|ms| ms.parse::<u64>().ok());
    ms.unwrap_or_default().saturating_mul(1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reply_of_an_entry_is_read() {
        let pairs =
            [("id", "a"), ("status", "200"), ("worker", "w"), ("id", "b"), ("id", "c"), ("status", "503")];

        let replies = Fields::read_replies(pairs.map(|(name, value)| (name.as_bytes(), value.as_bytes())));

        let reply = |id: &str, status| Fields {
            id: Some(id.to_owned()),
            status: Some(status),
            worker: Some("w".to_owned()),
            ..Fields::default()
        };
        assert_eq!(replies, [reply("a", 200), reply("b", 200), reply("c", 503)]);
    }
}
