//! A service that nobody here wrote: httpbin from PyPI, behind its own server.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use super::gateway::{Ask, Gateway};

/// httpbin on a port of its own; it is killed when this value is dropped.
struct Httpbin(Child, String);

impl Drop for Httpbin {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const SERVE: &str = "
import sys
from wsgiref.simple_server import make_server, WSGIRequestHandler
from httpbin import app
WSGIRequestHandler.log_message = lambda *_: None
server = make_server('127.0.0.1', 0, app)
print(server.server_port, flush=True)
server.serve_forever()
";

/// `None`, with a loud word, if it cannot be had here.
fn httpbin() -> Option<Httpbin> {
    let skipped = |why: &str| {
        eprintln!("SKIPPED: httpbin cannot be had: {why}");
        None
    };
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/python_venv.py");
    let output = match Command::new("python3")
        .args([script, "Flask", "brotlicffi", "decorator", "six", "httpbin"])
        .output()
    {
        Ok(output) if output.status.success() => output,
        Ok(output) => return skipped(&String::from_utf8_lossy(&output.stderr)),
        Err(error) => return skipped(&error.to_string()),
    };
    let python = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let mut child = Command::new(python)
        .args(["-c", SERVE])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("Python starts");
    let mut port = String::new();
    let _ = BufReader::new(child.stdout.take().expect("piped")).read_line(&mut port);
    let service = Httpbin(child, format!("http://127.0.0.1:{}", port.trim()));
    if port.trim().is_empty() { skipped("it does not start") } else { Some(service) }
}

#[tokio::test]
async fn a_stock_service_works_behind_the_gateway() {
    let Some(service) = httpbin() else { return };
    let gateway = Gateway::to(&service.1, "", "headers: {pass: accept-language}").await;
    let json = |body: &[u8]| -> Value { serde_json::from_slice(body).expect("JSON") };

    let ask = Ask { content_type: "application/json", ..Ask::new("PUT", "/anything/a%20b?c=d&c=e") };
    let ask = Ask { body: r#"{"n":1}"#.into(), ..ask }.header("accept-language", "de");
    let reply = gateway.ask(ask).await;
    let seen = json(&reply.body);
    assert_eq!((reply.status, &*reply.content_type), (200, "application/json"));
    assert_eq!(
        (&seen["method"], &seen["json"]["n"], &seen["args"]["c"][1]),
        (&"PUT".into(), &1.into(), &"e".into())
    );
    assert_eq!(
        (&seen["headers"]["Accept-Language"], &seen["headers"]["Streamgate-Attempt"]),
        (&"de".into(), &"1".into())
    );

    for status in [200, 204, 301, 404, 418, 500] {
        let reply = gateway.ask(Ask::new("GET", &format!("/status/{status}"))).await;
        assert_eq!(reply.status, status, "{reply:?}");
    }
    let packed = gateway.ask(Ask::new("GET", "/gzip")).await;
    assert_eq!(&packed.body[..2], b"\x1f\x8b");
    assert!(packed.headers.contains(&("content-encoding".to_owned(), "gzip".to_owned())));
    let bytes = gateway.ask(Ask::new("GET", "/bytes/65536?seed=1")).await;
    assert_eq!(bytes.body.len(), 65_536);
    let redirect = gateway.ask(Ask::new("GET", "/redirect/1")).await;
    assert_eq!(redirect.status, 302);
    assert!(redirect.headers.iter().any(|(name, value)| name == "location" && value == "/get"));
    let cookies = gateway.ask(Ask::new("GET", "/cookies/set?a=b")).await;
    assert!(cookies.headers.iter().any(|(name, value)| name == "set-cookie" && value.starts_with("a=b")));
    assert_eq!(gateway.ask(Ask::new("HEAD", "/get")).await.body.len(), 0);
    assert_eq!(gateway.ask(Ask::new("GET", "/delay/1")).await.status, 200);
}
