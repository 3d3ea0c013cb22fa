use streamgate::testing::RedisServer;

use super::{FORECAST, Footprint, Witness, exchange, statuses};
use crate::harness::{ingress, proxy};

/// A whole request inside another's body: answered, it was smuggled.
const HIDDEN: &str = "POST /WeatherForecast/city HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 19\r\n\r\n{\"city\":\"Smuggled\"}";

/// A request with `fields`, whose body may be read in more than one way.
fn ambiguous(fields: &str, body: &str) -> String {
    format!(
        "POST {FORECAST} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n{fields}\r\n{body}{HIDDEN}"
    )
}

/// Requests that parties on the way could understand differently, with the only status each may get.
fn ambiguities() -> Vec<(String, u16)> {
    let with = |fields: &str| ambiguous(fields, "0\r\n\r\n");
    let chunked = |body: &str| ambiguous("transfer-encoding: chunked\r\n", body);
    let field = |field: &str| format!("GET /livez HTTP/1.1\r\nhost: x\r\n{field}\r\n\r\n{HIDDEN}");
    vec![
        // The chunks count and the connection ends (RFC 9112, 6.3): an empty body is no JSON.
        (with("content-length: 5\r\ntransfer-encoding: chunked\r\n"), 400),
        (with("transfer-encoding: chunked\r\ncontent-length: 5\r\n"), 400),
        (with("content-length: 5\r\ncontent-length: 6\r\n"), 400),
        (with("content-length: 5, 6\r\n"), 400),
        (with("content-length: 5, 5\r\n"), 400),
        (with("content-length: +5\r\n"), 400),
        (with("content-length: -5\r\n"), 400),
        (with("content-length: 0x5\r\n"), 400),
        (with("content-length: 5 5\r\n"), 400),
        (with("content-length:\r\n"), 400),
        (with("content-length: 99999999999999999999999\r\n"), 400),
        (with("content-length : 5\r\n"), 400),
        (with("transfer-encoding : chunked\r\n"), 400),
        (with("transfer-encoding: xchunked\r\n"), 400),
        (with("transfer-encoding: identity\r\n"), 400),
        (with("transfer-encoding: chunked, identity\r\n"), 400),
        (with("transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n"), 400),
        (with("transfer-encoding: \u{b}chunked\r\n"), 400),
        (with("transfer-encoding:\r\n chunked\r\n"), 400),
        (
            with("transfer-encoding: chunked\r\n")
                .replace("HTTP/1.1\r\nhost: x\r\ncontent-type", "HTTP/1.0\r\nhost: x\r\ncontent-type"),
            400,
        ),
        (chunked("zz\r\n\r\n"), 400),
        (chunked("-1\r\n\r\n"), 400),
        (chunked("0x1\r\na\r\n0\r\n\r\n"), 400),
        (chunked("fffffffffffffffff\r\na"), 400),
        (chunked("1\r\naa\r\n0\r\n\r\n"), 400),
        (chunked("1\na\n0\n\n"), 400),
        (chunked("1;a\nb\r\na\r\n0\r\n\r\n"), 400),
        (chunked("0\r\nx : y\r\n\r\n"), 400),
        (field("x: a\r\n folded: b"), 400),
        (field(" x: a"), 400),
        (field("x : a"), 400),
        (field("x"), 400),
        (field(": a"), 400),
        (field("x: a\0b"), 400),
        (field("x: a\rb"), 400),
        (field("x\0: a"), 400),
        (field("x\u{e9}: a"), 400),
        (field("x{}: a\u{7f}"), 400),
        (format!("GET /livez\r\n\r\n{HIDDEN}"), 400),
        (format!("GET /livez HTTP/3.0\r\nhost: x\r\n\r\n{HIDDEN}"), 400),
        (format!("GET /li vez HTTP/1.1\r\nhost: x\r\n\r\n{HIDDEN}"), 400),
        (format!("GET /li\0vez HTTP/1.1\r\nhost: x\r\n\r\n{HIDDEN}"), 400),
        (format!("GET\t/livez HTTP/1.1\r\nhost: x\r\n\r\n{HIDDEN}"), 400),
        (format!("PRI * HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n{HIDDEN}"), 404),
    ]
}

/// Requests that are unusual and clear, each asking for the end of its connection.
fn oddities() -> Vec<(String, u16)> {
    let ask = |line: &str, fields: &str| {
        format!("{line} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{fields}\r\n{HIDDEN}")
    };
    let body = "{\"city\":\"Oslo\"}";
    vec![
        (ask("GET http://elsewhere.example/livez", ""), 200),
        (ask("GET /livez?a=b%00%0d%0a", ""), 200),
        (ask("OPTIONS *", ""), 404),
        (ask("OPTIONS /livez", ""), 405),
        (ask("CONNECT elsewhere.example:443", ""), 404),
        (ask("TRACE /livez", ""), 405),
        (ask("BREW /livez", ""), 405),
        (ask("GET //livez", ""), 404),
        (ask("GET /swagger/..%2f..%2fetc%2fpasswd", ""), 404),
        (ask("GET /swagger/../../etc/passwd", ""), 404),
        (ask("GET /%00", ""), 404),
        (ask("GET /livez", "upgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n"), 200),
        (ask("GET /livez", "upgrade: websocket\r\nexpect: 100-continue\r\n"), 200),
        (format!("GET /livez HTTP/1.1\nhost: x\nconnection: close\n\n{HIDDEN}"), 200),
        (
            format!(
                "POST {FORECAST} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {0}\r\ncontent-length: {0}\r\n\r\n{body}{HIDDEN}",
                body.len()
            ),
            200,
        ),
    ]
}

#[tokio::test]
async fn no_request_hides_in_another() {
    let server = RedisServer::start();
    let (_proxy, ingress) =
        (proxy(&server, "w1", &[]).await, ingress(&server, &[("HEADER_TIMEOUT", "2s")]).await);
    let witness = Witness::start(&ingress).await;
    let before = Footprint::of(&ingress).await;

    for (request, status) in ambiguities().into_iter().chain(oddities()) {
        let heard = exchange(ingress.address(0), request.as_bytes()).await;

        assert_eq!(statuses(&heard), [status], "{heard:?} to {request:?}");
    }

    before.is_back(&ingress, &server).await;
    witness.leave().await;
    let asked: Vec<(String, Vec<String>)> = server.command(&["XRANGE", "weather-requests", "-", "+"]);
    assert!(!format!("{asked:?}").contains("Smuggled"), "a hidden request was stored");
}
