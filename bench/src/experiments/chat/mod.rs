//! Many clients of one chat process over Server-Sent Events: what one costs, how fast a message reaches all of them.
//!
//! The clients are tasks of this process, on the same processors as the chat and Redis.

mod clients;
mod sender;
mod table;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Context;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde::{Deserialize, Serialize};
use stack::http;

use self::clients::Clients;
use self::sender::Sender;
use super::outcome::Outcome;
use crate::lab::Lab;
use crate::lab::machine::{Machine, TICKS, memory_kib};
use crate::lab::process::{Process, Role};
use crate::lab::redis::RedisAddress;
use crate::lab::watch::{Disturbance, Watch};
use crate::options::RunOptions;

/// What was seen.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Seen {
    machine: Machine,
    rounds: u32,
    clients: u32,
    noisy: bool,
    rows: Vec<Row>,
}

/// One number of clients in all rounds.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Row {
    clients: usize,
    samples: Vec<Sample>,
}

/// One chat process with its clients.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Sample {
    /// Memory of the process for each client while all are quiet, in KiB.
    idle_kib: f64,
    /// The same at the highest, under load.
    peak_kib: f64,
    /// From the start of a request to send until the last client has the message, in milliseconds.
    last_p50_ms: f64,
    last_p99_ms: f64,
    /// Messages given to clients in a second.
    fan_out: f64,
    /// CPU time of the chat for each message given to a client, in microseconds.
    cpu_us: f64,
    /// Connections of Redis that block in a read, at the most.
    readers: usize,
}

/// Messages whose way to the last client is measured.
const PROBES: usize = 50;
/// Messages under way while as many as possible are sent; fewer than CHAT_QUEUE, so that no client is too slow.
const UNDER_WAY: usize = 64;
/// Files that this process needs apart from the clients' connections.
const OTHER_FILES: u64 = 256;

/// Makes the trial.
pub(super) async fn run(options: &RunOptions) -> anyhow::Result<Seen> {
    let lab = Lab::open(options.clone())?;
    raise_open_files(u64::from(options.clients) + OTHER_FILES)?;
    let counts = [100, 10, 1].map(|part| options.clients as usize / part);
    let mut rows = counts.map(|clients| Row { clients, samples: Vec::new() });
    for round in 1..=options.rounds {
        for row in &mut rows {
            let sample = lab.undisturbed(async || turn(&lab, row.clients).await).await?;
            println!(
                "  {round}/{}  {:>6} clients  {:>5.1} KiB each  last one after {:>6.1} ms  {:>9.0} messages/s",
                options.rounds, row.clients, sample.idle_kib, sample.last_p50_ms, sample.fan_out
            );
            row.samples.push(sample);
        }
    }
    Ok(Seen {
        machine: Machine::describe(&[&options.redis_server]),
        rounds: options.rounds,
        clients: options.clients,
        noisy: options.allow_noise,
        rows: rows.into(),
    })
}

/// The table, and the bounds that were missed.
pub(super) fn outcome(seen: &Seen) -> Outcome {
    Outcome { table: table::table(seen), missed: table::missed(seen) }
}

/// A new Redis, a new chat process, all clients.
async fn turn(lab: &Lab, count: usize) -> anyhow::Result<(Sample, Disturbance)> {
    let (mut server, redis) = lab.redis(&[])?;
    let (mut chat, address) = start(lab, redis, count)?;
    let empty = memory_kib(chat.pid, "VmRSS");
    let mut clients = Clients::connect(address, count, UNDER_WAY).await?;
    let idle = memory_kib(chat.pid, "VmRSS");
    let mut readers = redis.blocking_reads().await?;

    let mut sender = Sender::connect(address).await?;
    let mut waits = Vec::new();
    for sent in 1..=PROBES {
        let started = Instant::now();
        sender.send().await?;
        waits.push((clients.all_have(sent).await? - started).as_secs_f64() * 1e3);
    }
    waits.sort_by(f64::total_cmp);

    let watch = Watch::start()?;
    let (started, before) = (Instant::now(), clients.got());
    let until = started + Duration::from_secs(lab.options.seconds.into());
    let mut sent = PROBES;
    while Instant::now() < until {
        sender.send_some(UNDER_WAY / 2).await?;
        sent += UNDER_WAY / 2;
        // Half of those under way have reached all clients, so the next half may go.
        clients.all_have(sent - UNDER_WAY / 2).await?;
    }
    readers = readers.max(redis.blocking_reads().await?);
    let ended = clients.all_have(sent).await?;
    let watched = watch.end([server.pid, chat.pid])?;
    let given = (clients.got() - before) as f64;
    anyhow::ensure!(given == ((sent - PROBES) * count) as f64, "clients got {given} messages");
    server.check()?;
    chat.check()?;
    let each = |kib: u64| kib.saturating_sub(empty) as f64 / clients.count() as f64;
    let sample = Sample {
        idle_kib: each(idle),
        peak_kib: each(memory_kib(chat.pid, "VmHWM")),
        last_p50_ms: waits[PROBES / 2],
        last_p99_ms: waits[PROBES * 99 / 100],
        fan_out: given / (ended - started).as_secs_f64(),
        cpu_us: watched.after.since(&watched.before, chat.pid) as f64 / TICKS * 1e6 / given,
        readers,
    };
    Ok((sample, watched.disturbance))
}

fn start(lab: &Lab, redis: RedisAddress, clients: usize) -> anyhow::Result<(Process, SocketAddr)> {
    let program = lab.binary("chat");
    anyhow::ensure!(program.is_file(), "{} is not there: cargo build --release -p chat", program.display());
    let address = stack::free_address()?;
    let mut command = lab.command(program);
    command.env("REDIS_URL", redis.url()).env("CHAT_LISTEN", address.to_string());
    command.env("CHAT_SEND_RATE", "1000000").env("CHAT_SEND_BURST", "1000000");
    command.env("CHAT_HEARTBEAT", "30s").env("CHAT_MAX_CLIENTS", clients.to_string());
    let mut chat = Process::start(Role::Gateway, command)?;
    chat.until("the chat is ready", || http::is_ready(&format!("http://{address}")))?;
    Ok((chat, address))
}

/// The chat raises its own limit in the same way.
fn raise_open_files(wanted: u64) -> anyhow::Result<()> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    anyhow::ensure!(
        wanted <= hard,
        "{wanted} open files are needed and the hard limit is {hard}: raise it (ulimit -Hn), or ask for fewer --clients"
    );
    setrlimit(Resource::RLIMIT_NOFILE, wanted.max(soft), hard).context("the limit of open files")
}
