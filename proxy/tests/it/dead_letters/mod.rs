//! The dead-letter operations on `:5010` of a running worker with a real Redis.

mod access;
mod look;
mod replay;
mod replay_many;

use serde_json::Value;
use streamgate::testing::{RedisServer, eventually_async};

use crate::harness::{DEAD_LETTERS, Proxy, REPLIES, REQUESTS, add};

/// The correlation id of the requests here.
const ID: &str = "01976c5e-5a80-7000-8000-000000000001";

/// Adds a dead letter as a worker does: a request for Berlin, given up with `reason`.
fn add_dead_letter(server: &RedisServer, reason: &str, consumer: &str) -> String {
    let own = ["dlq_reason", reason, "dlq_attempts", "5", "dlq_origin_id", "1-0", "dlq_group", "g"];
    let consumer = ["dlq_consumer", consumer];
    // The deadline is long past, as it is when an operator looks at a dead letter.
    let request = ["id", ID, "reply_to", REPLIES, "deadline", "1000", "body", r#"{"city":"Berlin"}"#];
    add(server, DEAD_LETTERS, &[&own[..], &consumer, &request, &["extra", "kept"]].concat())
}

fn length(server: &RedisServer, stream: &str) -> u64 {
    server.command(&["XLEN", stream])
}

/// Waits until every entry of the request stream was read and acknowledged.
async fn all_acknowledged(proxy: &Proxy) {
    eventually_async("the worker acknowledges every request", async || {
        let stream = proxy.get(&format!("/streams/{REQUESTS}")).await.json();
        stream["groups"][0]["pending"] == 0 && stream["groups"][0]["lag"] == 0
    })
    .await;
}

fn ids(list: &Value) -> Vec<&str> {
    let list = list.as_array().expect("a list");
    list.iter().map(|letter| letter["id"].as_str().expect("an id")).collect()
}
