use streamgate::testing::RedisServer;

use super::fields::assert_only_ours;
use super::{Witness, exchange, statuses};
use crate::harness::{client, ingress, proxy};

#[tokio::test]
async fn operations_refuse_odd_names_and_queries_and_make_no_key() {
    let server = RedisServer::start();
    let token = "a-token-for-this-test-alone";
    let (proxy, ingress) =
        (proxy(&server, "w1", &[("ADMIN_TOKEN", token)]).await, ingress(&server, &[]).await);
    let witness = Witness::start(&ingress).await;
    let long = "a".repeat(60_000);
    let names = [
        "%00",
        "%0a",
        "weather-requests%00",
        "weather-requests%0d%0a",
        "..",
        "%2e%2e",
        "..%2f..",
        "*",
        "%2a",
        "weather-*",
        "%ff",
        "%ed%a0%80",
        "%F0%9F%98%80",
        "%7B%7D",
        "%7Bweather-requests%7D",
        "weather-responses.%00",
        "weather-responses.%0a",
        "weather-responses.*%20",
        "weather-responses.a%0d%0aFLUSHALL",
        "weather-requests%20",
        "WEATHER-REQUESTS",
        "weather-requests/",
        "weather-requests/x",
        "%E2%80%AEx",
        "%u0000",
        "%",
        "%zz",
        &long,
    ];
    let queries = [
        "count=-1",
        "count=0",
        "count=1e3",
        "count=99999999999999999999",
        "count=%00",
        "count=",
        "count=1&count=2",
        "before=*",
        "before=%2B",
        "before=-",
        "before=%00",
        "before=0-0%0d%0aFLUSHALL",
        "before=$",
        "before=(1-1",
        "before=99999999999999999999-0",
        "x=1",
        "%00=1",
        "count[]=1",
    ];

    let names = names.iter().map(|name| format!("/streams/{name}"));
    for target in names.chain(queries.iter().map(|query| format!("/dead-letters?{query}"))) {
        let asked = format!(
            "GET {target} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\r\n"
        );
        let heard = exchange(proxy.address(0), asked.as_bytes()).await;

        let shown = &target[..target.len().min(100)];
        assert!(matches!(statuses(&heard)[..], [400 | 404]), "{heard:?} to {shown}");
        assert!(heard.contains("application/problem+json"), "{heard:?} to {shown}");
    }
    for odd in [
        "GET /streams/a HTTP/1.1\r\nhost: x\r\nx : a\r\n\r\n",
        "GET /streams/\0 HTTP/1.1\r\n\r\n",
        "\0\0\0\0\r\n\r\n",
    ] {
        assert_eq!(statuses(&exchange(proxy.address(0), odd.as_bytes()).await), [400], "{odd:?}");
    }

    witness.leave().await;
    assert_only_ours(&server);
    assert_eq!(client().get(proxy.url(0, "/readyz")).send().await.expect("an answer").status(), 200);
    assert!(!proxy.log().contains("panicked"), "{}", proxy.log());
}
