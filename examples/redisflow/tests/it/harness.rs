//! Starts Redis, producers and consumers, and reads what they say.

use std::process::Command;

use jiff::Timestamp;
use nix::sys::signal::Signal;
use redisflow::message::{Event, EventCodec, Events};
use serde_json::Value;
use stack::Process;
use stack::process::PATIENCE;
use streamgate::connection::Redis;
use streamgate::stream::{Entry, EntryId, PendingEntry, PendingQuery};
use streamgate::testing::{RedisServer, eventually, eventually_async};

pub(crate) const STREAM: &str = "redisflow:stream";
pub(crate) const GROUP: &str = "default-group";

/// An id, and the names and values of the fields.
pub(crate) type RawEntry = (String, Vec<(String, Vec<u8>)>);

/// A server of its own, and the stream as the toolkit sees it.
pub(crate) struct Flow {
    pub(crate) server: RedisServer,
    pub(crate) events: Events,
}

impl Flow {
    pub(crate) async fn new() -> Self {
        Self::on(RedisServer::start()).await
    }

    pub(crate) async fn on(server: RedisServer) -> Self {
        let redis = Redis::connect(&server.url()).await.expect("a server");
        Self { server, events: Events::with_codec(&redis, STREAM, EventCodec).expect("a name") }
    }

    /// The program, with an empty environment but for the address of Redis.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = stack::clean(env!("CARGO_BIN_EXE_redisflow"));
        command.args(arguments).env("REDIS_URL", self.server.url()).env("LOG_FORMAT", "json");
        command
    }

    /// A part that was just started.
    pub(crate) fn start(&self, arguments: &[&str]) -> Process {
        Process::start(arguments[0], self.command(arguments)).expect("it starts")
    }

    /// A consumer that takes up to five messages at once, with a short lease.
    pub(crate) fn consumer(&self, name: &str, work: &str) -> Process {
        self.start(&["consumer", "--name", name, "--work", work, "--batch", "5", "--lease", "800ms"])
    }

    /// A producer that makes a message in every period of this length.
    pub(crate) fn producer(&self, name: &str, every: &str) -> Process {
        self.start(&["producer", "--name", name, "--every", every])
    }

    /// Writes a message for each of these contents.
    pub(crate) async fn write(&self, contents: &[String]) -> Vec<EntryId> {
        let producer = "test".parse().expect("a name");
        let made = contents.iter().map(|content| Event::new(&producer, content.clone(), Timestamp::now()));
        self.events.writer().send_batch(&made.collect::<Vec<_>>()).await.expect("stored")
    }

    /// All entries on the stream, as Redis has them.
    pub(crate) fn raw(&self) -> Vec<RawEntry> {
        self.server.command(&["XRANGE", STREAM, "-", "+"])
    }

    /// All messages on the stream.
    pub(crate) async fn messages(&self) -> Vec<Event> {
        let (mut entries, mut messages) = (self.events.stream().range(..), Vec::new());
        while let Some(item) = entries.next().await {
            let item = item.expect("an entry");
            let entry = Entry { id: item.id, fields: item.value };
            messages.push(entry.decode(&EventCodec).expect("a message"));
        }
        messages
    }

    /// The numbers in the messages of a producer on the stream, in order. A message that was sent twice counts once.
    pub(crate) async fn numbers(&self, producer: &str) -> Vec<u64> {
        let messages = self.messages().await.into_iter().map(|event| event.message);
        let of_producer = messages.filter(|message| message.producer == producer);
        let mut numbers: Vec<u64> = of_producer.map(|message| number(&message.content)).collect();
        numbers.dedup();
        numbers
    }

    /// What is delivered and not acknowledged, in the order of the stream.
    pub(crate) async fn pending(&self) -> Vec<PendingEntry> {
        self.events.stream().pending_entries(GROUP, &PendingQuery::default()).await.expect("a group")
    }

    /// Waits until the group has read and acknowledged everything.
    pub(crate) async fn until_done(&self) {
        eventually_async("the group has done everything", async || {
            let groups = self.events.stream().groups().await.unwrap_or_default();
            groups.iter().any(|group| group.pending == 0 && group.lag == Some(0))
        })
        .await;
    }
}

/// Kills a process (SIGKILL) and waits for its end.
pub(crate) fn kill(process: &mut Process) {
    process.signal(Signal::SIGKILL);
    process.wait(PATIENCE).expect("it ends");
}

/// Asks a process to end; its exit code.
pub(crate) fn stop(process: &mut Process) -> Option<i32> {
    process.signal(Signal::SIGTERM);
    process.wait(PATIENCE).expect("it ends").code()
}

/// The lines that a process has logged with this message.
pub(crate) fn logged(process: &Process, message: &str) -> Vec<Value> {
    let log = process.log();
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line["message"] == message).collect()
}

/// The contents of the messages that a consumer has done (`done`) or a producer has sent (`sent`), in order.
pub(crate) fn contents(process: &Process, message: &str) -> Vec<String> {
    logged(process, message).iter().map(|line| line["content"].as_str().expect("a text").to_owned()).collect()
}

/// Waits until a process has logged at least `count` lines with this message.
pub(crate) fn until_logged(process: &Process, message: &str, count: usize) {
    let what = format!("{} logs {count} times {message:?}", process.name());
    eventually(&what, || logged(process, message).len() >= count);
}

/// The number in `Message #7 from Producer1 at 22:00:00`.
pub(crate) fn number(content: &str) -> u64 {
    let number = content.split(['#', ' ']).nth(2).and_then(|text| text.parse().ok());
    number.unwrap_or_else(|| panic!("no number in {content}"))
}

/// Contents that begin so: `early 1`, `early 2`.
pub(crate) fn numbered(prefix: &str, count: usize) -> Vec<String> {
    (1..=count).map(|number| format!("{prefix} {number}")).collect()
}
