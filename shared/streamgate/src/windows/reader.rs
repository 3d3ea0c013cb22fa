use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::{Stream, StreamExt};

use super::open_windows::OpenWindows;
use super::shape::Grid;
use super::{Aggregate, InvalidWindows, Shape, Window};
use crate::stream::{Begin, Findings, InvalidStreams, Item, News, ReadError, Source, Start, StreamsReader};

/// Aggregates the entries of `source` in windows of their time, which is the time in their ids. See [`Windows`].
///
/// ```no_run
/// # async fn example(redis: streamgate::connection::Redis) -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use streamgate::channel::StreamChannel;
/// use streamgate::windows::{Count, Mean, Sliding, WindowEvent, windows};
///
/// let temperatures = StreamChannel::<f64>::new(&redis, "temperatures")?;
/// let minute = Sliding::of(Duration::from_secs(60)).every(Duration::from_secs(10));
/// let mut means = windows(&temperatures, minute).aggregate((Count, Mean::of(|celsius: &f64| *celsius)))?;
/// while let Some(event) = means.next().await {
///     match event? {
///         WindowEvent::Closed(window) => println!("{} {:?}", window.end_ms, window.value),
///         WindowEvent::Late(item) => println!("{} came too late", item.id),
///     }
/// }
/// # Ok(())
/// # }
/// ```
pub fn windows<S: Source>(source: &S, shape: impl Into<Shape>) -> WindowsOf<S> {
    windows_of([source.clone()], shape)
}

/// Aggregates the entries of several sources in the same windows, over one connection.
pub fn windows_of<S: Source>(sources: impl IntoIterator<Item = S>, shape: impl Into<Shape>) -> WindowsOf<S> {
    WindowsOf {
        sources: sources.into_iter().collect(),
        shape: shape.into(),
        start: Start::End,
        lateness: Duration::ZERO,
    }
}

/// Windows whose aggregate is not known yet. They begin at the end of the streams, and allow no lateness.
pub struct WindowsOf<S> {
    sources: Vec<S>,
    shape: Shape,
    start: Start,
    lateness: Duration,
}

impl<S: Source> WindowsOf<S> {
    /// Where to begin to read, in each stream. To go on with the windows of a sink, see
    /// [`WindowSink::resume`](super::WindowSink::resume).
    #[must_use]
    pub fn start(mut self, start: Start) -> Self {
        self.start = start;
        self
    }

    /// How long a window stays open after its end, for late entries. See [`Windows`] for what can be late.
    #[must_use]
    pub fn lateness(mut self, lateness: Duration) -> Self {
        self.lateness = lateness;
        self
    }

    /// Computes `aggregate` for each window.
    ///
    /// # Errors
    /// The windows cannot be computed, or the sources cannot be read together; nothing is sent.
    pub fn aggregate<A: Aggregate<S::Value>>(
        self,
        aggregate: A,
    ) -> Result<Windows<S::Value, A::Output>, InvalidWindows> {
        let grid = Grid::of(self.shape, self.lateness)?;
        InvalidStreams::check(self.sources.iter())?;
        let mut open = OpenWindows::new(grid, aggregate);
        if let Start::After(id) = self.start {
            open.begin_after(id.ms);
        }
        let redis = self.sources[0].redis().clone();
        let streams =
            self.sources.iter().map(|source| (source.key().clone(), Begin::Start(self.start))).collect();
        let block = Duration::from_millis(grid.step / 4).clamp(SHORTEST_BLOCK, LONGEST_BLOCK);
        let computation = Computation {
            reader: StreamsReader::new(redis, streams, block, "windows").telling_quiet(),
            begins_at_end: self.start == Start::End,
            sources: self.sources,
            open,
            ready: VecDeque::new(),
        };
        let events = futures_util::stream::unfold(computation, |mut computation| async {
            let event = computation.next().await;
            Some((event, computation))
        });
        Ok(Windows { events: Box::pin(events) })
    }
}

/// A quiet stream is checked this often, or four times for each window. A quiet window closes so much later.
const LONGEST_BLOCK: Duration = Duration::from_secs(1);
const SHORTEST_BLOCK: Duration = Duration::from_millis(20);

/// The results of windows, in the order of their ends; a window without entries has no result. It never ends.
///
/// Promise: each entry counts in each window that covers its time, or is given out as [`WindowEvent::Late`], also over
/// restarts and failovers of Redis. The memory does not grow with the number of entries: it is one state of the
/// aggregate for each open window, and 128 entries read ahead, or one per stream.
///
/// **When a window closes.** The time of an entry is the time in its id. A window closes when entries show that its end
/// (and the allowed lateness) has passed: if one source is read, by the first entry after it; if several are read, when
/// that is true of all that have unread entries. If the streams are quiet, a window closes by the server's clock.
/// The server never gives an id with a time before its clock, so nothing is missed by this.
///
/// **What can be late.** Ids grow within a stream, so entries with ids of the server are never late, not in several
/// sources either. These can be late:
///
/// - Entries with ids of your own, if their time is before the server's clock and their window has closed because the
///   stream was quiet, or, with several sources, because another stream has a later entry.
/// - Entries of a stream that has started over: it was deleted, or Redis lost entries in a failover and its
///   new primary has a clock that is behind.
///
/// **Resumption.** A window in which reading began, or of which entries were trimmed before they were read, is
/// [`partial`](Window::partial).
pub struct Windows<T, O> {
    events: Pin<Box<dyn Stream<Item = Next<T, O>> + Send>>,
}

type Next<T, O> = Result<WindowEvent<T, O>, ReadError>;

/// What windows give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WindowEvent<T, O> {
    /// A window has closed; its result does not change any more.
    Closed(Window<O>),
    /// The item came after a window that covers its time had closed. It is not in the result of that window; it counts
    /// in overlapping windows that are still open.
    Late(Item<T>),
}

impl<T, O> Windows<T, O> {
    /// The next event; waits for it. Dropping the future loses nothing.
    ///
    /// # Errors
    /// An entry cannot be decoded (it is in no window), or Redis refuses to read a stream (this is said once, until it
    /// works again). Reading goes on after both.
    pub async fn next(&mut self) -> Option<Result<WindowEvent<T, O>, ReadError>> {
        self.events.next().await
    }
}

impl<T, O> Stream for Windows<T, O> {
    type Item = Next<T, O>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.events.poll_next_unpin(context)
    }
}

struct Computation<S: Source, A: Aggregate<S::Value>> {
    reader: StreamsReader,
    /// True until the end of the streams is known, if they are read from there.
    begins_at_end: bool,
    sources: Vec<S>,
    open: OpenWindows<S::Value, A>,
    ready: VecDeque<Next<S::Value, A::Output>>,
}

impl<S: Source, A: Aggregate<S::Value>> Computation<S, A> {
    async fn next(&mut self) -> Next<S::Value, A::Output> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return event;
            }
            let findings = self.reader.read().await;
            self.take(findings);
        }
    }

    fn take(&mut self, findings: Findings) {
        let all = 0..self.sources.len();
        if self.begins_at_end && all.clone().all(|of| self.reader.has_begun(of)) {
            self.begins_at_end = false;
            all.for_each(|of| self.open.begin_after(self.reader.position(of).ms));
        }
        for (_, news) in findings.news {
            match news {
                // Its entries count, or are late.
                News::StartedOver => {}
                News::Missed(missed) => self.open.begin_after(missed.to.ms),
                News::Fault(error) => self.ready.push_back(Err(error.into())),
            }
        }
        // A stream with unread entries is known up to its last entry. A stream without is known up to the time of the
        // read, which is not before any entry in it.
        let last_of = |entries: &[crate::stream::Entry]| entries.last().map_or(0, |entry| entry.id.ms);
        let newest = findings.batches.iter().map(|batch| last_of(&batch.entries)).max();
        let full = findings.batches.iter().filter(|batch| batch.full);
        let known = full.map(|batch| last_of(&batch.entries)).min().or(newest);
        for batch in findings.batches {
            for entry in batch.entries {
                let id = entry.id;
                match self.sources[batch.of].decode(&entry) {
                    Ok(value) => {
                        let late = self.open.add(Item { id, value });
                        self.ready.extend(late.map(|item| Ok(WindowEvent::Late(item))));
                    }
                    Err(source) => self.ready.push_back(Err(ReadError::Undecodable { id, source })),
                }
            }
        }
        let closed = self.open.advance(known.max(findings.quiet_at).unwrap_or(0));
        self.ready.extend(closed.into_iter().map(|window| Ok(WindowEvent::Closed(window))));
    }
}
