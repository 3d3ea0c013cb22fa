//! Bodies pass as they are, whatever they hold.

use reqwest::Method;
use streamgate::testing::RedisServer;

use super::fixture::{Echo, RoutesFile, route};

#[tokio::test]
async fn bodies_from_0_to_8_mib_pass_unchanged() {
    let server = RedisServer::start();
    let more = "request: {body_limit: 8MiB}";
    let file = RoutesFile::with(&format!("routes:\n{}", route("raw", "POST", "/raw", "raw", more)));
    let _echo = Echo::on(&server, "raw").await;
    let ingress = file.serve(&server, &[]).await;

    for size in [0, 1, 65_535, 65_536, 1 << 20, 8 << 20] {
        // Every byte value, in an order that a text codec would break.
        let body: Vec<u8> = (0..size).map(|at: usize| (at * 167 + at / 256) as u8).collect();
        let request = ingress.request(Method::POST, "/raw").header("content-type", "application/x-raw");

        let answer = request.body(body.clone()).send().await.expect("answered");

        assert_eq!(answer.status(), 200, "{size}");
        let came = answer.bytes().await.expect("a body");
        assert!(came == body, "{size} bytes were changed: {} came back", came.len());
    }
    let too_large = ingress.request(Method::POST, "/raw").body(vec![0; (8 << 20) + 1]);
    assert_eq!(too_large.send().await.expect("answered").status(), 413);
}
