//! Tests of reading without a group: tails, broadcasts, windows.

mod broadcasts;
mod tails;
mod windows;

use streamgate::stream::EntryId;
use streamgate::testing::RedisServer;

fn id(ms: u64) -> EntryId {
    EntryId { ms, seq: 0 }
}

/// Adds an entry whose field `n` is `n`, with an id of the server.
fn add(server: &RedisServer, stream: &str, n: usize) -> EntryId {
    add_as(server, stream, "*", n)
}

/// Adds entries as [`add`] does.
fn add_all(server: &RedisServer, stream: &str, numbers: impl IntoIterator<Item = usize>) -> Vec<EntryId> {
    numbers.into_iter().map(|n| add(server, stream, n)).collect()
}

/// Adds an entry whose field `n` is `n`.
fn add_as(server: &RedisServer, stream: &str, id: &str, n: usize) -> EntryId {
    let id: String = server.command(&["XADD", stream, id, "n", &n.to_string()]);
    id.parse().expect("an id")
}

/// How many clients of the server are blocked.
fn blocked_clients(server: &RedisServer) -> usize {
    let clients: String = server.command(&["INFO", "clients"]);
    let count = clients.lines().find_map(|line| line.strip_prefix("blocked_clients:"));
    count.and_then(|count| count.trim().parse().ok()).expect("a number")
}
