//! What one request costs in each place it passes, without sockets: seconds tell a regression.
//!
//! `cargo bench -p bench --bench hot_path` times each; `-- --count NAME TIMES` runs one so often and
//! nothing else, for a tool that counts instructions (`make instructions`).

use std::cell::RefCell;
use std::hint::black_box;
use std::sync::LazyLock;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use streamgate::connection::{Arguments, Commands, Decode};
use streamgate::envelope::{CorrelationId, Deadline, Reply, Request};
use streamgate::requester::{PendingReplies, Received};
use streamgate::stream::{Entry, ReadAnswer, append_to};
use tokio::time::Instant;
use weather::WeatherRequest;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Entries in one read under load.
const BURST: usize = 32;

const BODY: &[u8] = br#"{"city":"New York","location":"Downtown"}"#;

/// Every step by its name.
const STEPS: [(&str, fn()); 7] = [
    ("encode_request", encode_request),
    ("decode_requests", decode_requests),
    ("encode_replies", encode_replies),
    ("decode_replies", decode_replies),
    ("wait_and_complete", wait_and_complete),
    ("validate", validate),
    ("mint_id", mint_id),
];

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.iter().position(|argument| argument == "--count") {
        Some(at) => count(&arguments[at + 1], &arguments[at + 2]),
        None => divan::main(),
    }
}

/// Runs one step so many times.
fn count(name: &str, times: &str) {
    let (_, step) = STEPS.iter().find(|(known, _)| known == &name).expect("the name of a step");
    for _ in 0..times.parse::<u64>().expect("how many times") {
        step();
    }
}

fn request() -> Request {
    Request {
        id: CorrelationId::mint(),
        reply_to: "weather-responses.ingress-service-7d9c6b8f5-x2x4v".into(),
        deadline: Deadline::at(1_763_683_200_000),
        trace: None,
        content_type: "application/json".into(),
        body: Bytes::from_static(BODY),
        http: None,
    }
}

fn reply() -> Reply {
    Reply {
        id: CorrelationId::mint(),
        status: 200,
        content_type: "application/json".into(),
        body: Bytes::from(vec![b'x'; 600]),
        worker: "proxy-service-6c8d7f9b4-abcde".into(),
        attempt: 1,
        work: Duration::from_micros(120),
        retry_after: None,
        headers: Vec::new(),
    }
}

/// XADD of a request, packed for the socket.
#[divan::bench]
fn encode_request() {
    static REQUEST: LazyLock<Request> = LazyLock::new(request);
    pack(|args| {
        append_to("weather-requests", args);
        REQUEST.encode(|name, value| {
            args.arg(name.as_bytes()).arg(value);
        });
    });
}

/// XADD of 32 replies in one entry, packed for the socket.
#[divan::bench]
fn encode_replies() {
    static REPLIES: LazyLock<[Reply; BURST]> = LazyLock::new(|| std::array::from_fn(|_| reply()));
    pack(|args| {
        append_to("weather-responses", args);
        Reply::encode_all(&*REPLIES, |name, value| {
            args.arg(name.as_bytes()).arg(value);
        });
    });
}

/// Packs one command into a buffer that is used again and again, as a writer's is.
fn pack(write: impl FnOnce(&mut Arguments<'_>)) {
    thread_local! {
        static COMMANDS: RefCell<Commands> = RefCell::default();
    }
    COMMANDS.with_borrow_mut(|commands| {
        commands.clear();
        commands.command(write);
        black_box(commands.packed());
    });
}

/// 32 requests, from the bytes that XREADGROUP answers.
#[divan::bench]
fn decode_requests() {
    static ANSWER: LazyLock<Vec<u8>> = LazyLock::new(|| {
        answer(BURST, || {
            let mut fields = Vec::new();
            request().encode(|name, value| fields.push((name.to_owned(), value.to_vec())));
            fields
        })
    });
    for entry in entries(&ANSWER) {
        black_box(Request::decode(&entry.fields, Deadline::at(0)).expect("a request"));
    }
}

/// 32 replies in one entry, from the bytes that XREAD answers.
#[divan::bench]
fn decode_replies() {
    static ANSWER: LazyLock<Vec<u8>> = LazyLock::new(|| {
        answer(1, || {
            let mut fields = Vec::new();
            let replies: [Reply; BURST] = std::array::from_fn(|_| reply());
            Reply::encode_all(&replies, |name, value| fields.push((name.to_owned(), value.to_vec())));
            fields
        })
    });
    for entry in entries(&ANSWER) {
        for reply in Reply::decode_all(&entry.fields) {
            black_box(reply.expect("a reply"));
        }
    }
}

/// A place among those who wait, and its reply.
#[divan::bench]
fn wait_and_complete() {
    static PENDING: LazyLock<PendingReplies> = LazyLock::new(PendingReplies::default);
    static REPLY: LazyLock<Reply> = LazyLock::new(reply);
    let id = CorrelationId::mint();
    let waiting = PENDING.register(id, Instant::now() + Duration::from_secs(30));
    PENDING.complete(id, Ok(Received { reply: REPLY.clone(), stored_ms: 0 }));
    drop(waiting);
    PENDING.expire(Instant::now() + Duration::from_secs(60));
}

/// A body of the weather example, read and checked.
#[divan::bench]
fn validate() {
    black_box(WeatherRequest::parse(black_box(BODY)).expect("valid"));
}

/// A correlation id and its text.
#[divan::bench]
fn mint_id() {
    black_box(CorrelationId::mint().encode(&mut [0; 36]));
}

fn entries(answer: &[u8]) -> Vec<Entry> {
    let mut input = BytesMut::from(black_box(answer));
    let answer = ReadAnswer::to("XREAD").next(&mut input).expect("RESP");
    answer.expect("the whole answer").expect("entries")
}

/// What Redis answers (RESP2): one stream with so many entries.
fn answer(entries: usize, fields: impl Fn() -> Vec<(String, Vec<u8>)>) -> Vec<u8> {
    let mut out = format!("*1\r\n*2\r\n$16\r\nweather-requests\r\n*{entries}\r\n").into_bytes();
    let bulk = |out: &mut Vec<u8>, bytes: &[u8]| {
        out.extend_from_slice(format!("${}\r\n", bytes.len()).as_bytes());
        out.extend_from_slice(bytes);
        out.extend_from_slice(b"\r\n");
    };
    for n in 0..entries {
        out.extend_from_slice(b"*2\r\n");
        bulk(&mut out, format!("1763683200000-{n}").as_bytes());
        let fields = fields();
        out.extend_from_slice(format!("*{}\r\n", fields.len() * 2).as_bytes());
        for (name, value) in fields {
            bulk(&mut out, name.as_bytes());
            bulk(&mut out, &value);
        }
    }
    out
}
