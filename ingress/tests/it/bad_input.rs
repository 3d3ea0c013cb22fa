use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE};
use reqwest::{Body, Method};
use streamgate::testing::RedisServer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::{BERLIN, FORECAST, Ingress, Worker, send, stored};

const JSON: &str = "application/json";

#[tokio::test]
async fn every_bad_request_gets_a_problem_and_is_not_stored() {
    let server = RedisServer::start();
    let ingress = Ingress::ready(&server, &[]).await;
    let too_long = format!(r#"{{"city":"{}"}}"#, "x".repeat(101));
    let huge = format!(r#"{{"city":"{}"}}"#, "x".repeat(10 << 20));

    for (what, content_type, body, status) in [
        ("no body", JSON, "", 400),
        ("malformed JSON", JSON, r#"{"city":"#, 400),
        ("two values", JSON, r#"{"city":"Berlin"}{"#, 400),
        ("two byte order marks", JSON, "\u{feff}\u{feff}{\"city\":\"Berlin\"}", 400),
        ("a byte order mark alone", JSON, "\u{feff}", 400),
        ("not UTF-8", JSON, "latin-1", 400),
        ("another content type", "text/plain", BERLIN, 415),
        ("no content type", "", BERLIN, 415),
        ("another charset", "application/json; charset=latin1", BERLIN, 415),
        ("no city", JSON, r#"{"location":"Downtown"}"#, 422),
        ("an empty city", JSON, r#"{"city":""}"#, 422),
        ("a blank city", JSON, r#"{"city":"  \t "}"#, 422),
        ("a city that is too long", JSON, &too_long, 422),
        ("a control character", JSON, r#"{"city":"Ber\u0000lin"}"#, 422),
        ("a line break", JSON, r#"{"city":"Ber\nlin"}"#, 422),
        ("a number as city", JSON, r#"{"city":7}"#, 422),
        ("null as city", JSON, r#"{"city":null}"#, 422),
        ("a list as location", JSON, r#"{"city":"Berlin","location":[]}"#, 422),
        ("an extra field", JSON, r#"{"city":"Berlin","country":"DE"}"#, 422),
        ("a list", JSON, r#"["Berlin"]"#, 422),
        ("10 MB", JSON, &huge, 413),
    ] {
        let body = if body == "latin-1" {
            Body::from(&b"{\"city\":\"M\xfcnchen\"}"[..])
        } else {
            body.to_owned().into()
        };
        let mut request = ingress.request(Method::POST, FORECAST).body(body);
        if !content_type.is_empty() {
            request = request.header(CONTENT_TYPE, content_type);
        }

        let answer = send(request).await;

        assert_eq!(answer.status, status, "{what}: {answer:?}");
        answer.assert_problem(status);
    }
    assert_eq!(stored(&server), 0);
}

#[tokio::test]
async fn an_unknown_path_or_method_gets_a_problem() {
    let server = RedisServer::start();
    let ingress = Ingress::ready(&server, &[]).await;

    for (method, path, status, allow) in [
        (Method::GET, FORECAST, 405, Some("POST")),
        (Method::DELETE, FORECAST, 405, Some("POST")),
        (Method::POST, "/healthz", 405, Some("GET,HEAD")),
        (Method::POST, "/swagger/", 405, Some("GET,HEAD")),
        (Method::GET, "/nothing", 404, None),
        (Method::POST, "/weatherforecast/city", 404, None),
        (Method::GET, "/swagger/nothing", 404, None),
        (Method::GET, "/swagger/%ff", 404, None),
        (Method::GET, "/metrics", 404, None),
    ] {
        let answer = send(ingress.request(method.clone(), path)).await;

        assert_eq!(answer.status, status, "{method} {path}: {answer:?}");
        answer.assert_problem(status);
        assert_eq!(answer.header("allow"), allow, "{method} {path}");
    }
    assert_eq!(stored(&server), 0);
}

#[tokio::test]
async fn all_values_that_break_a_rule_are_listed_at_once() {
    let server = RedisServer::start();
    let ingress = Ingress::ready(&server, &[]).await;

    let answer = ingress.forecast(r#"{"city":"","location":"a\u0007"}"#).await;

    answer.assert_problem(422);
    let errors = answer.json()["errors"].clone();
    assert_eq!((&errors[0]["field"], &errors[1]["field"]), (&"city".into(), &"location".into()), "{errors}");
}

#[tokio::test]
async fn a_caller_that_sends_a_whole_huge_body_gets_413() {
    let server = RedisServer::start();
    let ingress = Ingress::ready(&server, &[]).await;
    let mut stream = TcpStream::connect(ingress.api).await.expect("accepted");
    let size = 10 << 20;

    let head = format!(
        "POST {FORECAST} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: {JSON}\r\ncontent-length: {size}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.expect("written");
    stream.write_all(&vec![b' '; size]).await.expect("written to its end");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("answered and closed");

    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
}

#[tokio::test]
async fn an_announced_size_over_the_limit_is_refused_at_once() {
    let server = RedisServer::start();
    let ingress = Ingress::ready(&server, &[]).await;

    for (size, expect) in [
        ("1000000000", ""),
        ("1000000000", "expect: 100-continue\r\n"),
        ("40000000", "expect: 100-continue\r\n"),
    ] {
        let mut stream = TcpStream::connect(ingress.api).await.expect("accepted");
        let head = format!(
            "POST {FORECAST} HTTP/1.1\r\nhost: x\r\ncontent-type: {JSON}\r\n{expect}content-length: {size}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.expect("written");
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.expect("answered");

        assert_eq!(String::from_utf8_lossy(&answer), "HTTP/1.1 413", "{size} {expect}");
    }
    assert_eq!(stored(&server), 0);
}

#[tokio::test]
async fn a_body_with_a_content_coding_is_refused() {
    let server = RedisServer::start();
    let ingress = Ingress::ready(&server, &[]).await;

    for coding in ["gzip", "GZIP", "br", "identity, gzip", "nonsense"] {
        let request = ingress.request(Method::POST, FORECAST).body(BERLIN);
        let request = request.header(CONTENT_TYPE, JSON).header(CONTENT_ENCODING, coding);

        let answer = send(request).await;

        answer.assert_problem(415);
        assert_eq!(answer.header("accept-encoding"), Some("identity"), "{coding}");
    }
    assert_eq!(stored(&server), 0);
}

#[tokio::test]
async fn the_content_coding_identity_is_accepted() {
    let server = RedisServer::start();
    let _worker = Worker::start(&server).await;
    let ingress = Ingress::ready(&server, &[]).await;

    for coding in ["identity", "Identity"] {
        let request = ingress.request(Method::POST, FORECAST).body(BERLIN);
        let request = request.header(CONTENT_TYPE, JSON).header(CONTENT_ENCODING, coding);

        assert_eq!(send(request).await.status, 200, "{coding}");
    }
}

#[tokio::test]
async fn a_route_without_a_body_answers_a_huge_body_at_once() {
    let server = RedisServer::start();
    let ingress = Ingress::ready(&server, &["--header-timeout", "10m"]).await;

    for (line, status) in [
        ("POST /nothing", 404),
        ("PUT /nothing", 404),
        ("POST /livez", 405),
        ("PUT /WeatherForecast/city", 405),
        ("GET /swagger/nothing", 404),
    ] {
        for expect in ["", "expect: 100-continue\r\n"] {
            let mut stream = TcpStream::connect(ingress.api).await.expect("accepted");
            let head = format!("{line} HTTP/1.1\r\nhost: x\r\n{expect}content-length: 1000000000\r\n\r\n");
            stream.write_all(head.as_bytes()).await.expect("written");
            let mut answer = [0; 12];
            stream.read_exact(&mut answer).await.expect("answered");

            assert_eq!(String::from_utf8_lossy(&answer), format!("HTTP/1.1 {status}"), "{line} {expect}");
        }
    }
}

#[tokio::test]
async fn a_body_that_does_not_arrive_in_time_gets_408() {
    let server = RedisServer::start();
    let ingress = Ingress::ready(&server, &["--header-timeout", "100ms"]).await;
    let mut stream = TcpStream::connect(ingress.api).await.expect("accepted");

    let head =
        format!("POST {FORECAST} HTTP/1.1\r\nhost: x\r\ncontent-type: {JSON}\r\ncontent-length: 9\r\n\r\n{{");
    stream.write_all(head.as_bytes()).await.expect("written");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("answered and closed");

    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert_eq!(stored(&server), 0);
}

#[tokio::test]
async fn the_http_library_refuses_a_bad_or_large_head() {
    let server = RedisServer::start();
    let ingress = Ingress::ready(&server, &[]).await;

    for (head, status) in [
        ("nonsense\r\n\r\n".to_owned(), 400),
        (format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "x".repeat(65_535)), 414),
        (format!("GET / HTTP/1.1\r\n{}\r\n", "x: y\r\n".repeat(101)), 431),
    ] {
        let mut stream = TcpStream::connect(ingress.api).await.expect("accepted");
        stream.write_all(head.as_bytes()).await.expect("written");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("answered and closed");

        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer:?}");
        assert!(answer.ends_with("\r\n\r\n") && !answer.contains("x-request-id"), "{answer:?}");
    }
}
