//! The raw door: one test file for each room of `RedisStream`, and one for connecting.

mod appending;
mod batches;
mod claims;
mod connecting;
mod groups;
mod health;
mod large;
mod letters;
mod pending;
mod ranges;
mod trims;

use std::time::Duration;

use streamgate::connection::Redis;
use streamgate::fields::Fields;
use streamgate::stream::{EntryId, RedisStream};
use streamgate::testing::RedisServer;

const STREAM: &str = "orders";
const GROUP: &str = "billing";

/// A connection to a server, made with the public builder. Its timeouts are long, because test machines are busy.
async fn connect(url: &str) -> Redis {
    let long = Duration::from_secs(20);
    let connecting = Redis::builder().url(url).response_timeout(long).connect_timeout(long).connect();
    connecting.await.expect("connects")
}

async fn stream(server: &RedisServer) -> RedisStream {
    RedisStream::new(&connect(&server.url()).await, STREAM).expect("a name")
}

fn fields(number: usize) -> Fields {
    Fields::from_iter([("number", number.to_string())])
}

fn id(ms: u64) -> EntryId {
    EntryId { ms, seq: 0 }
}

/// The ids on the stream, in order.
fn stored(server: &RedisServer) -> Vec<EntryId> {
    let entries: Vec<(String, redis::Value)> = server.command(&["XRANGE", STREAM, "-", "+"]);
    entries.iter().map(|(id, _)| id.parse().expect("an id")).collect()
}

/// Appends entries with the ids `1-0`, `2-0` and so on.
fn add(server: &RedisServer, count: u64) -> Vec<EntryId> {
    (1..=count)
        .map(|ms| {
            let _: String = server.command(&["XADD", STREAM, &id(ms).to_string(), "number", &ms.to_string()]);
            id(ms)
        })
        .collect()
}

/// Creates the group at the beginning, and delivers `count` entries to `consumer`.
fn deliver(server: &RedisServer, consumer: &str, count: u64) {
    let mut create = redis::cmd("XGROUP");
    // The group may exist.
    let _ = server.try_run::<()>(create.arg("CREATE").arg(STREAM).arg(GROUP).arg("0").arg("MKSTREAM"));
    let count = count.to_string();
    let read = ["XREADGROUP", "GROUP", GROUP, consumer, "COUNT", &count, "STREAMS", STREAM, ">"];
    let _: redis::Value = server.command(&read);
}

/// Makes the key of the stream a string.
fn make_string(server: &RedisServer) {
    let _: () = server.command(&["SET", STREAM, "not a stream"]);
}
