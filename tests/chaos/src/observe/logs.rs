//! What processes log: kept whole in a file, and what the checker looks at as events.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::watch;

use crate::history::{Event, EventKind, Micros, Recorder, now};
use crate::setup::PASSWORD;

/// Where a process listens, as it said in its first lines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Addresses {
    /// Of a gateway: its public API.
    pub api: Option<String>,
    /// Metrics and probes.
    pub admin: Option<String>,
}

/// Takes the log of one process, line by line.
pub struct LogTaker {
    process: usize,
    file: Option<File>,
    addresses: watch::Sender<Addresses>,
    recorder: Recorder,
}

impl LogTaker {
    /// The log of `process` goes to `file`, what it says of itself to `addresses`, and events to the history.
    pub fn new(process: usize, file: &Path, addresses: watch::Sender<Addresses>, recorder: Recorder) -> Self {
        Self { process, file: File::create(file).ok(), addresses, recorder }
    }

    /// Takes one line.
    pub fn take(&mut self, text: &str) {
        if let Some(file) = &mut self.file {
            let _ = writeln!(file, "{text}");
        }
        let value: Value = serde_json::from_str(text).unwrap_or_default();
        learn(&value, &self.addresses);
        let process = self.process;
        let events = interpret(text, &value).into_iter().map(|(at, kind)| Event { at, process, kind });
        self.recorder.with(|history| {
            if let Some(name) = name_taken(&value) {
                history.processes[process].consumer = name.to_owned();
            }
            history.events.extend(events);
        });
    }
}

fn learn(line: &Value, addresses: &watch::Sender<Addresses>) {
    let text = |name: &str| line[name].as_str().map(str::to_owned);
    let admin = text("admin").or_else(|| text("operations"));
    if let Some(admin) = admin {
        addresses.send_replace(Addresses { api: text("api"), admin: Some(admin) });
    }
}

/// The name of its own that a worker takes because somebody lives under the one it was given.
fn name_taken(line: &Value) -> Option<&str> {
    line["message"].as_str().filter(|message| message.starts_with("a worker of this name is alive"))?;
    line["taken"].as_str()
}

fn interpret(text: &str, line: &Value) -> Vec<(Micros, EventKind)> {
    let written = line["timestamp"].as_str().and_then(|time| time.parse::<Timestamp>().ok());
    let at = written.map_or_else(now, |time| time.as_microsecond() as u64);
    let mut events = Vec::new();
    if text.contains(PASSWORD) {
        events.push((at, EventKind::Secret(text.trim().to_owned())));
    }
    events.extend(kind_of(text, line).map(|kind| (at, kind)));
    events
}

fn kind_of(text: &str, line: &Value) -> Option<EventKind> {
    let field = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
    if !line.is_object() {
        return Some(EventKind::Garbage(text.trim().to_owned()));
    }
    // The hook logs a panic with its place, and its message in place of the line's own.
    if line["level"] == "ERROR" && line["place"].is_string() {
        return Some(EventKind::Panic(format!("{} at {}", field("message"), field("place"))));
    }
    Some(match line["message"].as_str()? {
        "delivered" => {
            EventKind::Delivered { entry: field("entry"), attempt: line["attempt"].as_u64().unwrap_or(0) }
        }
        "executing" => EventKind::Executing { id: field("id"), entry: field("entry") },
        "entry moved to the dead letters" => EventKind::DeadLettered,
        "the stream started over; reading it from its beginning" => EventKind::StartedOver,
        "answered" => EventKind::Answered { id: field("id"), status: line["status"].as_u64().unwrap_or(0) },
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(text: &str) -> Vec<(Micros, EventKind)> {
        interpret(text, &serde_json::from_str(text).unwrap_or_default())
    }

    #[test]
    fn an_execution_is_seen_with_its_time() {
        let seen = events(
            r#"{"timestamp":"2026-11-21T10:00:00.000005Z","level":"DEBUG","message":"executing","id":"X","entry":"1-0","attempt":1,"left_ms":9}"#,
        );

        let kind = EventKind::Executing { id: "X".to_owned(), entry: "1-0".to_owned() };
        assert_eq!(seen, [(1_795_255_200_000_005, kind)]);
    }

    #[test]
    fn panics_secrets_and_garbage_are_seen() {
        let panic = events(r#"{"level":"ERROR","message":"boom","place":"a.rs:1","message":"boom"}"#);
        let secret = events(&format!(r#"{{"level":"INFO","message":"redis://:{PASSWORD}@host"}}"#));
        let garbage = events("thread main overflowed its stack");

        assert!(matches!(&panic[..], [(_, EventKind::Panic(text))] if text == "boom at a.rs:1"), "{panic:?}");
        assert!(matches!(&secret[..], [(_, EventKind::Secret(_))]), "{secret:?}");
        assert!(matches!(&garbage[..], [(_, EventKind::Garbage(_))]), "{garbage:?}");
    }
}
