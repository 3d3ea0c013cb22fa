use redis::Value;

use crate::connection::{Arguments, Error};
use crate::fields::Fields;
use crate::stream::{EntryId, StreamKey};

/// How an entry is appended. The default: Redis chooses the id, nothing is deleted, and the stream is created if it
/// does not exist.
///
/// ```
/// use streamgate::stream::{AppendOptions, Cap, EntryId};
///
/// let own_id = AppendOptions { id: Some(EntryId { ms: 7, seq: 1 }), ..AppendOptions::default() };
/// let capped = AppendOptions { cap: Some(Cap::MaxLenApprox(50_000)), ..AppendOptions::default() };
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AppendOptions {
    /// The entry's id. It must be greater than every id that the stream has had.
    pub id: Option<EntryId>,
    /// Deletes the oldest entries with this append.
    pub cap: Option<Cap>,
    /// Refuses the entry if the stream does not exist.
    pub no_make_stream: bool,
}

/// Deletes the oldest entries of a stream with each append, **also those that no group has read or acknowledged**.
/// Without it nothing unread is lost: [`Trimmer`](crate::stream::Trimmer) deletes finished entries only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cap {
    /// Exactly so many entries stay (MAXLEN =).
    MaxLen(u64),
    /// At least so many entries stay, and about one node of the stream more, usually 100 (MAXLEN ~). This costs the
    /// server much less.
    MaxLenApprox(u64),
}

/// Why an entry was not appended.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// The entry has no fields; Redis stores no such entry.
    #[error("an entry needs at least one field, and nothing was sent")]
    NoFields,
    /// Its own id is not greater than every id that the stream has had.
    #[error(
        "the id {id} is not greater than {last}, the last one of the stream, and the entry was not stored: choose a greater id, or let Redis choose it"
    )]
    NotGreater {
        /// The id.
        id: EntryId,
        /// The last id of the stream, also if its entry was deleted.
        last: EntryId,
    },
    /// There is no such stream, and it was not to be created.
    #[error(
        "there is no stream {key}, and the entry was not stored: append without `no_make_stream` to create it"
    )]
    NoStream {
        /// The name.
        key: StreamKey,
    },
    /// A value is larger than the server accepts.
    #[error(
        "{bytes} bytes are more than the {limit} that {setting} of the server allows, and nothing was sent: store large values elsewhere and append their place, or raise {setting}"
    )]
    TooLarge {
        /// Bytes of the largest value, or of the whole entry, as the setting counts them.
        bytes: u64,
        /// The limit of the server.
        limit: u64,
        /// The setting of the server.
        setting: &'static str,
    },
    /// No answer came: the entry may be stored or not. Sent again, it may be on the stream twice; with an id of its
    /// own, it cannot.
    #[error("it is not known whether the entry is stored, because no answer came: {0}")]
    Unconfirmed(#[source] Error),
    /// Redis could not be reached or refused the entry; it was not stored.
    #[error(transparent)]
    Redis(#[from] Error),
}

/// Writes the start of an XADD with a server-chosen id: names and values follow.
pub fn append_to(key: &str, args: &mut Arguments<'_>) {
    args.arg(b"XADD").arg(key.as_bytes()).arg(b"*");
}

/// Writes a whole XADD.
pub(super) fn write(key: &StreamKey, fields: &Fields, options: &AppendOptions, args: &mut Arguments<'_>) {
    if *options == AppendOptions::default() {
        append_to(key.as_str(), args);
    } else {
        args.arg(b"XADD").arg(key.as_str().as_bytes());
        if options.no_make_stream {
            args.arg(b"NOMKSTREAM");
        }
        if let Some(cap) = options.cap {
            let (exact, most): (&[u8], u64) = match cap {
                Cap::MaxLen(most) => (b"=", most),
                Cap::MaxLenApprox(most) => (b"~", most),
            };
            args.arg(b"MAXLEN").arg(exact).arg(most.to_string().as_bytes());
        }
        match options.id {
            Some(id) => id.encode(|id| args.arg(id)),
            None => args.arg(b"*"),
        };
    }
    for (name, value) in fields.iter() {
        args.arg(name).arg(value);
    }
}

/// How an append ended.
pub(super) struct Outcome {
    pub(super) answer: Result<Value, Error>,
    /// True if a try ended without an answer: it may have stored the entry.
    pub(super) uncertain: bool,
}
