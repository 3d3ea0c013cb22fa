//! API keys with roles.

use serde_json::json;
use service::api_key::NewKey;
use streamgate::testing::RedisServer;

use crate::harness::{Replica, Sse, stored};

/// A key, and its line in the file.
fn new_key(name: &str, role: &str) -> (String, String) {
    let key = NewKey::mint().expect("random");
    (format!("{name}:{role}:{}\n", key.hash()), key.to_string())
}

#[test]
fn a_key_speaks_for_its_role_and_without_one_nobody_speaks() {
    let ((shop, customer), (desk, admin)) = (new_key("shop", "customer"), new_key("desk", "admin"));
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("keys");
    std::fs::write(&file, format!("# keys\n{shop}{desk}")).expect("written");
    let server = RedisServer::start();
    let limits = [("CHAT_SEND_RATE", "1"), ("CHAT_SEND_BURST", "2")];
    let settings = [limits[0], limits[1], ("CHAT_KEYS_FILE", file.to_str().expect("text"))];
    let replica = Replica::start(&server, &settings);
    let send = |key: &str, role: &str| {
        let headers = format!("content-type: application/json\r\n{key}");
        let body = json!({"userId": "u", "userName": "N", "userRole": role, "content": "hello"});
        replica.post_with("/api/chat/send", &headers, &body.to_string())
    };
    let bearer = |key: &str| format!("authorization: Bearer {key}\r\n");

    for (key, role, status) in [
        (String::new(), "customer", 401),
        (bearer("sgk_wrong"), "customer", 401),
        (bearer(&customer) + &bearer(&customer), "customer", 401),
        (bearer(&customer), "admin", 403),
        (bearer(&admin), "customer", 403),
        (bearer(&admin), "root", 422),
    ] {
        let answer = send(&key, role);
        assert_eq!(answer.status, status, "{key}{role}: {answer:?}");
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        assert_eq!(answer.header("www-authenticate").is_some(), status == 401, "{answer:?}");
    }
    assert_eq!(stored(&server), 0);
    let typing = replica.post("/api/chat/typing", r#"{"userId":"u","userName":"N"}"#);
    let refused = Sse::connect(replica.address, "userId=u", None, "").expect_err("no key");
    assert_eq!((typing.status, refused.status), (401, 401));

    let mut client = Sse::connect(replica.address, "userId=u", None, &bearer(&customer)).expect("let in");
    let statuses = [send(&bearer(&customer), "customer").status, send(&bearer(&customer), "customer").status];
    assert_eq!(statuses, [200, 200]);
    let other_key = send(&format!("x-api-key: {admin}\r\n"), "admin");
    assert_eq!(other_key.status, 200, "a user of another key has a quota of its own");
    let roles: Vec<_> = (0..3).map(|_| client.event().expect("an event").data["userRole"].clone()).collect();
    assert_eq!(roles, ["customer", "customer", "admin"]);
    assert!(!replica.process.log().contains(&admin), "no key is logged");
}
