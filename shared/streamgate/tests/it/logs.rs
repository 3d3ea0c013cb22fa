//! Captures the log of the thread of a test.

use std::fmt::{Debug, Write as _};
use std::sync::{Arc, Mutex, OnceLock};

use tracing::field::{Field, Visit};
use tracing::subscriber::DefaultGuard;
use tracing::{Dispatch, Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

/// The log of a test whose runtime has one thread. Dropping it ends the capture.
pub(crate) struct Logs {
    lines: Arc<Mutex<Vec<Line>>>,
    _capturing: DefaultGuard,
}

/// A line of the log: its level, and its fields as text.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) level: Level,
    pub(crate) text: String,
}

impl Logs {
    pub(crate) fn capture() -> Self {
        keep_lines_of_other_threads();
        let lines = Arc::<Mutex<Vec<Line>>>::default();
        let subscriber = tracing_subscriber::registry().with(Capture(Arc::clone(&lines)));
        Self { lines, _capturing: tracing::subscriber::set_default(subscriber) }
    }

    /// The lines so far that contain `text`.
    pub(crate) fn with(&self, text: &str) -> Vec<Line> {
        let lines = self.lines.lock().expect("no panic");
        lines.iter().filter(|line| line.text.contains(text)).cloned().collect()
    }

    /// The lines so far that the default log level shows.
    pub(crate) fn shown(&self) -> Vec<Line> {
        self.with("").into_iter().filter(|line| line.level <= Level::INFO).collect()
    }
}

/// Call this before a thread gets its subscriber. Otherwise `tracing` would drop lines: with only one
/// subscriber in the process, a line that a thread without a subscriber logs first is switched off for all
/// threads.
pub(crate) fn keep_lines_of_other_threads() {
    static ANOTHER: OnceLock<Dispatch> = OnceLock::new();
    ANOTHER.get_or_init(|| Dispatch::new(tracing_subscriber::registry()));
}

struct Capture(Arc<Mutex<Vec<Line>>>);

impl<S: Subscriber> Layer<S> for Capture {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if !event.metadata().target().starts_with("streamgate") {
            return;
        }
        let mut text = Text(String::new());
        event.record(&mut text);
        self.0.lock().expect("no panic").push(Line { level: *event.metadata().level(), text: text.0 });
    }
}

struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let _ = write!(self.0, "{field}={value:?} ");
    }
}
