//! Reading values as a member of a group.
//!
//! In reading order: [`Reader`] (here) hands over [`Message`]s (`message`); [`ReaderBuilder`] (`builder`) starts it.
//! Behind it are tasks: `fetch` takes entries from the group, `settler` settles them.

mod builder;
mod fetch;
mod message;
mod settler;

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use self::fetch::Fetch;
use self::message::Receipt;
use self::settler::{Decision, Settler, SettlerQueue, ToSettler};
use crate::codec::CodecError;
use crate::connection::Error;
use crate::stream::{
    ConsumerGroup, Entry, Housekeeping, HousekeepingSettings, LeasedEntry, Leases, ReadError, Retention,
};

pub use builder::{ReaderBuilder, StartError};
pub use message::{Message, NotAcknowledged, SettleError};

/// Reads the values of a stream as a member of a group: each value at least once in the group, also if consumers die.
///
/// - **It does not end** because the stream is quiet or Redis is away; [`Reader::next`] waits. It ends after
///   [`Reader::close`] or when its stop token is cancelled.
/// - **An outage gives no error.** The reader connects again, logs the outage once at its start and once at its end,
///   and goes on with what was not acknowledged. An item is [`ReadError::Redis`] only if Redis refuses the read and
///   will refuse it again, for example because the key holds something else now; the reader still goes on.
/// - **An entry that cannot be decoded** is an item [`ReadError::Undecodable`], and is moved to the dead letters. The
///   next item is the next value.
/// - **Order**: values come in the order of the stream, but entries of consumers that died, and retries, come later.
/// - **Names**: if another process is alive under this consumer's name, this reader takes a name of its own and logs a
///   warning; [`Reader::consumer`] returns the name.
/// - **Trimming**: the reader deletes entries that all groups have acknowledged and that are older than an hour, or
///   more than 100,000; [`ReaderBuilder::keep`] and [`ReaderBuilder::keep_all`] change that.
/// - **Memory** is bounded by the batch: nothing is read before a value is asked for.
///
/// Dropping the future of [`Reader::next`] loses no value.
pub struct Reader<T> {
    group: ConsumerGroup,
    leases: Leases,
    decode: Decode<T>,
    acknowledges_itself: bool,
    max_deliveries: u32,
    /// `None` once the reader is shut.
    settlements: Option<SettlerQueue>,
    /// Reaches the settler also when the reader is shut, as long as messages are held.
    settler: mpsc::WeakUnboundedSender<ToSettler>,
    batches: mpsc::Receiver<Result<Vec<LeasedEntry>, Error>>,
    /// The rest of the last batch.
    buffer: VecDeque<LeasedEntry>,
    /// Asks for a batch.
    asked: Arc<Notify>,
    has_asked: bool,
    /// What the reader acknowledges when the next value is asked for.
    handed_over: Option<Receipt>,
    stop: CancellationToken,
    /// Ends the retries of the settler.
    abandon: CancellationToken,
    running: Option<JoinHandle<()>>,
}

/// Decodes an entry, in the format of the channel.
type Decode<T> = Box<dyn Fn(&Entry) -> Result<T, CodecError> + Send + Sync>;

/// How long a closing reader waits for Redis.
const CLOSING_TIME: Duration = Duration::from_secs(5);

impl<T> Reader<T> {
    /// The next value; waits for it. `None` once the reader is closed.
    pub async fn next(&mut self) -> Option<Result<Message<T>, ReadError>> {
        StreamExt::next(self).await
    }

    /// Acknowledges messages together. Returns once Redis has confirmed it.
    ///
    /// # Errors
    /// Some messages were not acknowledged, and may be delivered again.
    pub async fn acknowledge_all(
        &self,
        messages: impl IntoIterator<Item = Message<T>>,
    ) -> Result<(), NotAcknowledged> {
        let queued = messages.into_iter().map(|message| (message.id, message.queue_acknowledgement()));
        let queued: Vec<_> = queued.collect();
        let mut failed = Vec::new();
        for (id, result) in queued {
            failed.extend(result.await.unwrap_or(Err(SettleError::Closed { id })).err());
        }
        if failed.is_empty() { Ok(()) } else { Err(NotAcknowledged(failed)) }
    }

    /// This consumer's name in the group.
    pub fn consumer(&self) -> &str {
        self.group.consumer()
    }

    /// The group, with its dead letters.
    pub fn group(&self) -> &ConsumerGroup {
        &self.group
    }

    /// Ends the reader: hands back the values that were read and not handed over, waits until Redis has confirmed the
    /// decisions on messages, and leaves the group. If messages are still held, they stay leased and can be settled;
    /// the reader leaves the group after the last one.
    ///
    /// Dropping the reader does the same in the background. At the end of a program, close it: the background ends with
    /// the runtime.
    pub async fn close(mut self) {
        if tokio::time::timeout(CLOSING_TIME, self.finish()).await.is_err() {
            self.abandon.cancel();
            tracing::warn!(
                stream = self.group.stream(),
                group = self.group.name(),
                "Redis did not confirm everything in time; other consumers claim the remaining entries"
            );
        }
    }

    async fn finish(&mut self) {
        self.shut();
        // The end of the channel shows that no more entries are read.
        while let Some(batch) = self.batches.recv().await {
            self.hand_back(batch.unwrap_or_default());
        }
        if let Some(settler) = self.settler.upgrade() {
            let (flush, flushed) = oneshot::channel();
            let _ = settler.send(ToSettler::Flush(flush));
            drop(settler);
            let _ = flushed.await;
        }
        // The program may hold messages; the reader leaves the group after the last one.
        if let Some(running) = self.running.take_if(|_| self.leases.is_empty()) {
            let _ = running.await;
        }
    }

    /// Stops reading, and queues the last decisions.
    fn shut(&mut self) {
        if let Some(last) = self.handed_over.take()
            && !std::thread::panicking()
        {
            last.settle_aside(Decision::Acknowledge);
        }
        self.batches.close();
        let mut unread = std::mem::take(&mut self.buffer);
        while let Ok(batch) = self.batches.try_recv() {
            unread.extend(batch.unwrap_or_default());
        }
        self.hand_back(unread);
        self.stop.cancel();
        self.settlements = None;
    }

    fn hand_back(&self, unread: impl IntoIterator<Item = LeasedEntry>) {
        if let Some(settler) = self.settler.upgrade() {
            for leased in unread {
                Receipt::new(leased, settler.clone()).settle_aside(Decision::HandBack);
            }
        }
    }

    /// Turns an entry into an item; `None` if the entry is not for the program.
    fn hand_over(&mut self, leased: LeasedEntry) -> Option<Result<Message<T>, ReadError>> {
        let settlements = self.settlements.clone()?;
        let (id, attempt) = (leased.entry.id, leased.attempt);
        if leased.lease.is_lost() {
            tracing::debug!(entry = %id, "another consumer has claimed the entry before it was handed over");
            return None;
        }
        if attempt > self.max_deliveries {
            let reason = format!("given up after {} deliveries", attempt - 1);
            Receipt::new(leased, settlements).settle_aside(Decision::DeadLetter(reason));
            return None;
        }
        let value = (self.decode)(&leased.entry);
        let receipt = Receipt::new(leased, settlements);
        match value {
            Ok(value) => {
                if self.acknowledges_itself {
                    self.handed_over = Some(receipt.clone());
                }
                Some(Ok(Message::new(value, receipt)))
            }
            Err(source) => {
                let reason = format!("cannot be decoded: {source}");
                receipt.settle_aside(Decision::DeadLetter(reason));
                Some(Err(ReadError::Undecodable { id, source }))
            }
        }
    }
}

impl<T> Stream for Reader<T> {
    type Item = Result<Message<T>, ReadError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let reader = self.get_mut();
        if let Some(last) = reader.handed_over.take() {
            last.settle_aside(Decision::Acknowledge);
        }
        loop {
            if reader.stop.is_cancelled() {
                reader.shut();
                return Poll::Ready(None);
            }
            if let Some(leased) = reader.buffer.pop_front() {
                match reader.hand_over(leased) {
                    Some(item) => return Poll::Ready(Some(item)),
                    None => continue,
                }
            }
            if !std::mem::replace(&mut reader.has_asked, true) {
                reader.asked.notify_one();
            }
            let batch = ready!(reader.batches.poll_recv(cx));
            reader.has_asked = false;
            match batch {
                Some(Ok(entries)) => reader.buffer = entries.into(),
                Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
                None => {
                    reader.shut();
                    return Poll::Ready(None);
                }
            }
        }
    }
}

// Nothing in a reader is pinned.
impl<T> Unpin for Reader<T> {}

impl<T> Drop for Reader<T> {
    fn drop(&mut self) {
        self.shut();
    }
}

/// The tasks of a reader.
struct Tasks {
    group: ConsumerGroup,
    leases: Leases,
    fetch: Fetch,
    settler: Settler,
    retention: Option<Retention>,
    stop: CancellationToken,
}

impl Tasks {
    /// Runs until the reader is shut and all its messages are settled or dropped; then leaves the group.
    async fn run(self) {
        let Self { group, leases, fetch, settler, retention, stop } = self;
        let drained = CancellationToken::new();
        let _drained = drained.clone().drop_guard();
        let keeper = tokio::spawn(leases.keep(drained.clone()));
        if let Some(retention) = retention {
            let settings = HousekeepingSettings { retention, ..HousekeepingSettings::default() };
            tokio::spawn(Housekeeping::new(group.clone(), settings, true).run(stop));
        }
        tokio::join!(fetch.run(), settler.run());
        drained.cancel();
        // A later sign of life would create the consumer again.
        let _ = keeper.await;
        match group.leave().await {
            Ok(true) => tracing::debug!(consumer = group.consumer(), "left the group"),
            Ok(false) => {
                tracing::debug!(consumer = group.consumer(), "still has entries, which others claim")
            }
            Err(error) => {
                tracing::warn!(%error, "could not leave the group; it counts this consumer until its grace period ends");
            }
        }
    }
}
