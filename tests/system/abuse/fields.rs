use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};
use streamgate::testing::RedisServer;

use super::{FORECAST, Footprint, Witness, exchange, statuses};
use crate::harness::{ingress, proxy};

/// Checks that Redis holds the product's own keys, and no scripts but the product's.
pub(super) fn assert_only_ours(server: &RedisServer) {
    let keys: BTreeSet<String> = server.command::<Vec<String>>(&["KEYS", "*"]).into_iter().collect();
    assert_eq!(keys, ["weather-requests", "weather-responses"].map(str::to_owned).into());

    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/streamgate/src/stream/scripts");
    let ours = std::fs::read_dir(ours).expect("our scripts").map(|file| {
        let text = std::fs::read_to_string(file.expect("a file").path()).expect("text");
        server.command::<(u64,)>(&["SCRIPT", "EXISTS", redis::Script::new(&text).get_hash()]).0
    });
    let (ours, memory): (u64, String) = (ours.sum(), server.command(&["INFO", "memory"]));
    let loaded = memory.lines().find_map(|line| line.strip_prefix("number_of_cached_scripts:"));
    assert_eq!(loaded.and_then(|count| count.parse().ok()), Some(ours), "scripts that are not ours");
}

/// Text that a parser, a log or Redis could misread, escaped as in JSON.
fn odd_texts() -> Vec<String> {
    let written = [
        r"a\r\nb",
        r"\r\n",
        r"a\u0000b",
        r"\u0000",
        r"\ud800",
        r"\udc00\ud800",
        r"a\ud800b",
        r"\ud83d\ude00",
        r"\u202egnaro",
        r"a\u2066b",
        r"\ufeff",
        r"\u200b",
        r"a\u2028b",
        r"\u001b[31m",
        r"\b\f\t",
        r"\/\\\u0022",
        r"\uffff",
        r"\u00a0",
        r"e\u0301\u0301\u0301",
        r"\x",
        r"\u12",
        "\\",
    ];
    let meant = [
        "*",
        "?",
        "{}",
        "{weather-requests}",
        "{weather-requests}:dlq",
        "weather-responses.x",
        "weather-requests",
        "$",
        ">",
        "0-0",
        "-",
        "+",
        "(1",
        "*3\r\n$3\r\nSET\r\n",
        "\r\nFLUSHALL\r\n",
        "FLUSHALL",
        "XADD a * b c",
        "return redis.call('SET','a','b')",
        "'); redis.call('FLUSHALL') --",
        "]]..os.exit()..[[",
        "KEYS[1]",
        "${jndi:ldap://x}",
        "{{7*7}}",
        "%s%n%x",
        "%00",
        "../../etc/passwd",
        "<script>alert(1)</script>",
        "' OR 1=1 --",
        "İstanbul",
        "ﬁ",
        "😀",
        "👩‍👩‍👧‍👦",
        "दिल्ली",
        "القاهرة",
        "Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤̞͉͚̯̞̠͍A̴̵̜̰͔ͫ͗͢",
        "Set-Cookie: a=b",
        "null",
        "NaN",
        "1e999",
    ];
    let long = ["x".repeat(100), "x".repeat(101), "😀".repeat(100), "é".repeat(10_000), " ".repeat(10_000)];
    let quoted = |text: &str| json!(text).to_string();
    let written = written.iter().map(|text| format!("\"{text}\""));
    written.chain(meant.iter().map(|text| quoted(text))).chain(long.iter().map(|text| quoted(text))).collect()
}

/// Bodies that are odd as a whole.
fn odd_bodies() -> Vec<Vec<u8>> {
    let deep = "[".repeat(10_000);
    let texts = [
        "{}",
        "[]",
        "null",
        "\"Oslo\"",
        "{\"city\":{\"city\":\"Oslo\"}}",
        "{\"city\":[\"Oslo\"]}",
        "{\"city\":1e999}",
        "{\"city\":\"Oslo\",\"city\":\"Bergen\"}",
        "{\"__proto__\":{},\"city\":\"Oslo\"}",
        "{\"city\":\"Oslo\",\"\":1}",
        "{\"city\":\"Oslo\"}\0",
        "{'city':'Oslo'}",
        "{\"city\":\"Oslo\",}",
        &deep,
    ];
    let mut bodies: Vec<Vec<u8>> = texts.iter().map(|text| text.as_bytes().to_vec()).collect();
    bodies.push(b"{\"city\":\"\xff\xfe\"}".to_vec());
    bodies.push(b"{\"city\":\"\xed\xa0\x80\"}".to_vec());
    bodies.push(b"{\"city\":\"\xc0\x80\"}".to_vec());
    bodies
}

/// Header fields with odd values.
fn odd_fields() -> Vec<Vec<u8>> {
    let values: [&[u8]; 14] = [
        b"",
        b"*",
        b"{}",
        b"\xff\xfe\x80",
        "é😀".as_bytes(),
        b"00-",
        b"weather-requests",
        b"$(reboot)",
        b"\t",
        b"00-00000000000000000000000000000000-0000000000000000-00",
        b"respond-async, wait=99999999999999999999",
        b"Bearer \xff",
        b"\"\\\"",
        b"a;b=\"c\\",
    ];
    let long = "a".repeat(8_000);
    let names = [
        "traceparent",
        "tracestate",
        "prefer",
        "x-request-id",
        "authorization",
        "idempotency-key",
        "accept",
        "x",
    ];
    let fields = names.iter().flat_map(|name| {
        values
            .iter()
            .copied()
            .chain([long.as_bytes()])
            .map(move |value| [name.as_bytes(), b": ", value].concat())
    });
    fields.collect()
}

fn request(content_type: &[u8], field: &[u8], body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST {FORECAST} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n",
        body.len()
    );
    [head.as_bytes(), b"content-type: ", content_type, b"\r\n", field, b"\r\n\r\n", body].concat()
}

/// Asks, and checks what holds for every answer. Its status, and its body if that is JSON.
async fn checked(address: &str, request: &[u8]) -> (u16, Value) {
    let shown = String::from_utf8_lossy(&request[..request.len().min(300)]).into_owned();
    let heard = exchange(address, request).await;
    let [status] = statuses(&heard)[..] else { panic!("{heard:?} to {shown:?}") };
    assert!(status == 200 || (400..500).contains(&status), "{heard:?} to {shown:?}");
    let (head, body) = heard.split_once("\r\n\r\n").expect("a head");
    let ids: Vec<_> = head.lines().filter_map(|line| line.strip_prefix("x-request-id: ")).collect();
    let [id] = ids[..] else { panic!("{heard:?} to {shown:?}") };
    assert!(id.len() == 36 && id.as_bytes()[14] == b'7', "no UUIDv7 of ours: {heard:?} to {shown:?}");
    let body: Value =
        serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {heard:?} to {shown:?}"));
    assert_eq!(body["requestId"].as_str(), Some(id), "{heard:?} to {shown:?}");
    (status, body)
}

#[tokio::test]
async fn odd_text_is_refused_or_echoed_and_is_no_key_and_no_script() {
    let server = RedisServer::start();
    let (_proxy, ingress) = (proxy(&server, "w1", &[]).await, ingress(&server, &[]).await);
    let witness = Witness::start(&ingress).await;
    let before = Footprint::of(&ingress).await;
    let (address, json) = (ingress.address(0), &b"application/json"[..]);

    let mut answered = 0;
    for text in odd_texts() {
        let meant: Option<String> = serde_json::from_str(&text).ok();
        for field in ["city", "location"] {
            let body = match field {
                "city" => format!("{{\"city\":{text}}}"),
                _ => format!("{{\"city\":\"Oslo\",\"location\":{text}}}"),
            };
            let (status, forecast) = checked(address, &request(json, b"x: a", body.as_bytes())).await;
            if status == 200 {
                let meant = meant.as_deref().map(str::trim).filter(|text| !text.is_empty());
                assert_eq!(forecast[field].as_str(), meant, "{forecast} to {body}");
                answered += 1;
            }
        }
    }
    assert!(answered > 60, "only {answered} of them are refused for no reason");
    for body in odd_bodies() {
        let (status, answer) = checked(address, &request(json, b"x: a", &body)).await;
        assert_ne!(status, 200, "{answer}");
    }
    for field in odd_fields() {
        let (status, forecast) = checked(address, &request(json, &field, b"{\"city\":\"Oslo\"}")).await;
        assert!(status != 200 || forecast["city"] == "Oslo", "{forecast}");
        if let Some(value) = field.strip_prefix(b"accept: ") {
            let (status, _) = checked(address, &request(value, b"x: a", b"{\"city\":\"Oslo\"}")).await;
            assert_eq!(status, 415, "{value:?} as content type");
        }
    }

    before.is_back(&ingress, &server).await;
    witness.leave().await;
    assert_only_ours(&server);
}
