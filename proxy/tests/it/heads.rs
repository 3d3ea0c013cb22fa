//! What the head of a request decides before a body is read.

use streamgate::testing::RedisServer;

use crate::harness::Proxy;

#[tokio::test]
async fn a_request_without_one_valid_host_is_refused() {
    let server = RedisServer::start();
    let proxy = Proxy::ready(&server, &[]).await;

    for (line, hosts, status) in [
        ("GET /healthz HTTP/1.1", "", 400),
        ("GET /livez HTTP/1.1", "", 400),
        ("GET /dead-letters HTTP/1.1", "", 400),
        ("GET /nothing HTTP/1.1", "", 400),
        ("GET /healthz HTTP/1.1", "host: a\r\nhost: b\r\n", 400),
        ("GET /healthz HTTP/1.1", "host: a b\r\n", 400),
        ("GET /healthz HTTP/1.1", "host: a\r\n", 200),
        ("GET /healthz HTTP/1.0", "", 200),
    ] {
        let heard = proxy.say(&format!("{line}\r\n{hosts}connection: close\r\n\r\n")).await;

        assert_eq!(heard.get(9..12), Some(&*status.to_string()), "{line} {hosts}: {heard}");
        assert_eq!(heard.contains("application/problem+json"), status == 400, "{line} {hosts}: {heard}");
    }
}
