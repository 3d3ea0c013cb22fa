//! One stream for many readers in one process: [`Broadcast`].
//!
//! In reading order: a `reader` task reads the stream once and puts what it reads into the `ring`; each
//! [`Subscription`] (`subscription`) takes from the ring at its own pace.

mod reader;
mod ring;
mod subscription;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

use self::ring::Ring;
pub use self::subscription::Subscription;
use crate::codec::CodecError;
use crate::connection::Redis;
use crate::stream::{Entry, EntryId, Item, Source, StreamKey};

/// One stream for any number of subscribers in this process, over one blocking connection.
///
/// Redis pays for each client that waits for an entry, so a process should have one for each stream, not one for
/// each of its own clients. The reader decodes an entry once; all subscribers share the value.
///
/// Promise: each subscriber gets every entry after the place where it began, in the order of the stream and once, or
/// an [`Event::Gap`] with the ids that it did not get. This also holds over restarts and failovers of Redis, as long
/// as Redis still has the entry; if Redis lost entries that were given, subscribers get [`Event::StartedOver`].
///
/// The queue of a subscriber is bounded ([`BroadcastSettings::queue`]). A slow subscriber stops nobody: when the queue
/// overflows, it gets a gap and goes on with the entries that are still there. A subscriber that is dropped costs
/// nothing. The broadcast ends with its last handle or with [`BroadcastSettings::shutdown`]; then subscriptions end
/// after what is in their queues.
///
/// ```no_run
/// # use streamgate::channel::StreamChannel;
/// use streamgate::fanout::{Broadcast, BroadcastSettings, Event};
///
/// # async fn example(redis: streamgate::connection::Redis, last_event_id: Option<streamgate::stream::EntryId>)
/// # -> Result<(), Box<dyn std::error::Error>> {
/// let messages = StreamChannel::<String>::new(&redis, "chat-messages")?;
/// let chat = Broadcast::start(&messages, BroadcastSettings::default());   // once for each process
///
/// let mut subscription = chat.subscribe(last_event_id).await;             // once for each client
/// while let Some(event) = subscription.next().await {
///     match event {
///         Event::Item(item) => println!("id: {}\ndata: {}\n", item.id, item.value),
///         Event::Gap { from, to } => println!("event: gap\ndata: {from} {to}\n"),
///         Event::StartedOver => println!("event: reload\n"),
///         Event::Undecodable { id, error } => eprintln!("{id}: {error}"),
///     }
/// }
/// # Ok(())
/// # }
/// ```
pub struct Broadcast<T> {
    shared: Arc<Shared<T>>,
    _reader: Arc<DropGuard>,
}

/// How a [`Broadcast`] works.
#[derive(Debug, Clone)]
pub struct BroadcastSettings {
    /// The most entries that wait for a subscriber, at least 1. All subscribers share the memory of these entries.
    pub queue: usize,
    /// The most bytes of entries that wait, as they are stored in Redis. At least one entry waits, whatever its size.
    pub queue_bytes: usize,
    /// How long a read blocks. While the stream is quiet, the reader checks the server once in this time.
    pub block: Duration,
    /// Ends the broadcast when it is cancelled.
    pub shutdown: CancellationToken,
}

impl Default for BroadcastSettings {
    /// 1,024 entries of up to 64 MiB together, reads of two seconds.
    fn default() -> Self {
        Self {
            queue: 1_024,
            queue_bytes: 64 << 20,
            block: Duration::from_secs(2),
            shutdown: CancellationToken::new(),
        }
    }
}

/// What a subscriber gets.
#[derive(Debug)]
pub enum Event<T> {
    /// A value. All subscribers share it.
    Item(Item<Arc<T>>),
    /// Entries with ids between these two, both included, were not given: the subscriber was slower than the stream,
    /// or the entries were trimmed. If they were trimmed, they may also have been given before they were
    /// trimmed to a subscriber that came back, and not all ids in between have existed. If they are still there,
    /// XRANGE with these two ids returns exactly the entries that were not given.
    Gap {
        /// The first id.
        from: EntryId,
        /// The last id.
        to: EntryId,
    },
    /// What follows does not continue what came before: the stream was deleted, or Redis lost entries in a failover, or
    /// the id to begin after is not of this stream. Items may come again, and with smaller ids.
    StartedOver,
    /// An entry that holds no value of this type.
    Undecodable {
        /// The entry's id.
        id: EntryId,
        /// What is wrong with it.
        error: Arc<CodecError>,
    },
}

impl<T> Clone for Event<T> {
    fn clone(&self) -> Self {
        match self {
            Self::Item(item) => Self::Item(Item { id: item.id, value: Arc::clone(&item.value) }),
            Self::Gap { from, to } => Self::Gap { from: *from, to: *to },
            Self::StartedOver => Self::StartedOver,
            Self::Undecodable { id, error } => Self::Undecodable { id: *id, error: Arc::clone(error) },
        }
    }
}

/// What the reader and the subscriptions share.
struct Shared<T> {
    redis: Redis,
    key: StreamKey,
    decode: Box<Decode<T>>,
    ring: Mutex<Ring<T>>,
    /// Changes when the ring has. Its sender is in the reader; it is gone when the reader has ended.
    changes: watch::Receiver<u64>,
    /// Bounds the subscribers that read history at the same time.
    historians: Semaphore,
    reading: AtomicBool,
    /// Each subscription has a clone.
    subscribers: Arc<()>,
    shutdown: CancellationToken,
}

type Decode<T> = dyn Fn(&Entry) -> Result<T, CodecError> + Send + Sync;

/// As many subscribers read history at the same time. Many come back at once when a process has restarted.
const MOST_HISTORIANS: usize = 2;

impl<T> Shared<T> {
    fn ring(&self) -> MutexGuard<'_, Ring<T>> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Decodes an entry for one subscriber, or for all.
    fn event(&self, entry: &Entry) -> Event<T> {
        let id = entry.id;
        match (self.decode)(entry) {
            Ok(value) => Event::Item(Item { id, value: Arc::new(value) }),
            Err(error) => Event::Undecodable { id, error: Arc::new(error) },
        }
    }
}

impl<T: Send + Sync + 'static> Broadcast<T> {
    /// Starts to read the stream of `source` from its end. Must be called in a runtime; it does not wait for Redis.
    pub fn start(source: &impl Source<Value = T>, settings: BroadcastSettings) -> Self {
        let (redis, key) = (source.redis().clone(), source.key().clone());
        let source = source.clone();
        let shutdown = settings.shutdown.child_token();
        let (changed, changes) = watch::channel(0);
        let shared = Arc::new(Shared {
            redis,
            key,
            decode: Box::new(move |entry| source.decode(entry)),
            ring: Mutex::new(Ring::new(settings.queue, settings.queue_bytes)),
            changes,
            historians: Semaphore::new(MOST_HISTORIANS),
            reading: AtomicBool::new(false),
            subscribers: Arc::default(),
            shutdown: shutdown.clone(),
        });
        tokio::spawn(reader::run(Arc::clone(&shared), changed, settings.block));
        Self { shared, _reader: Arc::new(shutdown.drop_guard()) }
    }

    /// A new subscriber: with `after`, it gets the entries after this id that Redis still has, and then new ones; with
    /// `None`, all entries that are added after this call returns.
    ///
    /// It waits until the reader has found the end of the stream, so it waits while Redis is away. If the broadcast
    /// has ended, the subscription ends at once.
    pub async fn subscribe(&self, after: Option<EntryId>) -> Subscription<T> {
        Subscription::start(Arc::clone(&self.shared), after).await
    }

    /// The id of the last entry that was read, or the id after which reading began: a subscription after it gets
    /// what comes next, also one of another process. It waits until the reader has found the end of the stream.
    pub async fn position(&self) -> EntryId {
        let mut changes = self.shared.changes.clone();
        // If the broadcast has ended before, there is nothing to come.
        let _ = changes.wait_for(|_| self.shared.ring().has_begun()).await;
        self.shared.ring().at_end().position
    }

    /// The number of subscriptions.
    pub fn subscribers(&self) -> usize {
        Arc::strong_count(&self.shared.subscribers) - 1
    }

    /// True if the last read of the stream succeeded: for the readiness of a process.
    pub fn is_reading(&self) -> bool {
        self.shared.reading.load(Ordering::Relaxed)
    }
}

impl<T> Clone for Broadcast<T> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), _reader: Arc::clone(&self._reader) }
    }
}
