use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::Folder;

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

/// Compares a generated text with the committed one. With `ROUTES_WRITE=1` it writes the file instead.
fn compare(path: &str, wanted: impl Fn(&str) -> String) {
    let path = root(path);
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    let wanted = wanted(&committed);
    if std::env::var_os("ROUTES_WRITE").is_some() {
        std::fs::write(&path, &wanted).expect("written");
        return;
    }
    assert!(
        committed == wanted,
        "{} is not what the tables of keys say: run this test with ROUTES_WRITE=1",
        path.display()
    );
}

#[test]
fn the_published_schema_is_that_of_the_tables() {
    let pretty = serde_json::to_string_pretty(&routes::json_schema()).expect("JSON");

    compare("schemas/streamgate.routes.v1.json", |_| format!("{pretty}\n"));
}

#[test]
fn the_reference_in_the_docs_is_that_of_the_tables() {
    const FROM: &str = "<!-- generated: every key -->\n";
    const TO: &str = "<!-- end of generated -->";

    compare("docs/ROUTES.md", |committed| {
        let (before, rest) = committed.split_once(FROM).expect("the start of the reference");
        let (_, after) = rest.split_once(TO).expect("the end of the reference");
        format!("{before}{FROM}{}\n{TO}{after}", routes::reference())
    });
}

fn is_valid(document: &Value) -> bool {
    static SCHEMA: LazyLock<jsonschema::Validator> =
        LazyLock::new(|| jsonschema::validator_for(&routes::json_schema()).expect("a schema"));
    SCHEMA.is_valid(document)
}

fn loads(document: &Value) -> Result<(), String> {
    // JSON is YAML.
    let folder = Folder::with(&[("routes.yaml", &document.to_string()), ("s.json", "{}")]);
    folder.load("routes.yaml").map(drop).map_err(|faults| faults.to_string())
}

fn document() -> Value {
    json!({
        "$schema": "x",
        "version": 1,
        "defaults": {"timeout": "1m 30s", "body_limit": "1MiB", "auth": "if-configured", "priority": "low", "delivery": "at-most-once"},
        "routes": [{
            "id": "a", "summary": "s", "match": {"method": ["GET", "PUT"], "path": "/a/{b}/{*c}"}, "stream": "s", "group": "g",
            "upstream": "u", "timeout": "500ms", "priority": "high", "delivery": "at-least-once", "auth": "api-key",
            "scopes": ["x"], "cors": {"origins": "*", "headers": ["x-a"], "max_age": "5m"},
            "request": {"content_types": ["application/json"], "schema": "s.json", "body_limit": "64KiB", "headers": "x-b"},
            "reply": {"schema": "s.json", "check": "enforce"}, "durable": "never", "idempotency": "off", "callback": false,
        }],
        "upstreams": {"u": {
            "url": "http://u", "concurrency": 5, "connect": "1s", "timeout": "5s", "idempotent": true, "honours_idempotency_key": false,
            "headers": {"pass": ["cookie"], "set": {"x-c": "${NONE:-v}"}}, "breaker": {"failures": "10%", "of": 5, "open": "1s"},
            "reply": {"body_limit": "5kB"},
        }},
    })
}

/// Pointers to all values of the document.
fn pointers(value: &Value, at: &str, all: &mut Vec<String>) {
    all.push(at.to_owned());
    match value {
        Value::Object(map) => {
            map.iter().for_each(|(key, value)| pointers(value, &format!("{at}/{key}"), all))
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(n, value)| pointers(value, &format!("{at}/{n}"), all))
        }
        _ => {}
    }
}

#[test]
fn the_schema_and_the_parser_accept_the_same_file() {
    assert_eq!(loads(&document()), Ok(()));
    assert!(is_valid(&document()));
}

#[test]
fn the_schema_and_the_parser_know_the_same_keys() {
    let mut all = Vec::new();
    pointers(&document(), "", &mut all);
    let mut checked = 0;
    for pointer in all {
        let mut changed = document();
        // The names of upstreams and of fields are free.
        let free = pointer == "/upstreams" || pointer == "/upstreams/u/headers/set";
        if let (Value::Object(map), false) = (changed.pointer_mut(&pointer).expect("a value"), free) {
            map.insert("zzzzzz".to_owned(), json!("z"));
            assert!(!is_valid(&changed), "{pointer}");
            assert!(loads(&changed).is_err_and(|faults| faults.contains("zzzzzz is not a key")), "{pointer}");
            checked += 1;
        }
    }
    assert_eq!(checked, 11, "the document has every group of keys");
}

#[test]
fn the_schema_knows_what_is_required() {
    let mut all = Vec::new();
    pointers(&document(), "", &mut all);
    for pointer in all.iter().filter(|pointer| !pointer.is_empty()) {
        let mut changed = document();
        let (group, key) = pointer.rsplit_once('/').expect("a key");
        let removed =
            changed.pointer_mut(group).and_then(Value::as_object_mut).and_then(|map| map.remove(key));
        if removed.is_some() && !is_valid(&changed) {
            assert!(loads(&changed).is_err(), "{pointer}");
        } else if removed.is_some() {
            let rules = ["upstream is missing", "not in upstreams", "needs a schema"];
            let faults = loads(&changed).err().unwrap_or_default();
            assert!(
                faults.is_empty() || rules.iter().any(|rule| faults.contains(rule)),
                "{pointer}: {faults}"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// What the schema refuses the parser refuses too, so an editor is never stricter than the processes.
    #[test]
    fn the_schema_is_not_stricter_than_the_parser(
        place in any::<prop::sample::Index>(),
        value in prop_oneof![
            Just(json!("30s")), Just(json!("30")), Just(json!(30)), Just(json!(0)), Just(json!("GET")), Just(json!("/x")),
            Just(json!(true)), Just(json!("false")), Just(json!("50%")), Just(json!("1KiB")), Just(json!("${HOST}")),
            Just(json!("$$x")), Just(json!([])), Just(json!({})), Just(json!("high")), Just(json!("http://a.b")), "[ -~]{0,8}".prop_map(Value::from),
        ],
    ) {
        let mut all = Vec::new();
        pointers(&document(), "", &mut all);
        let mut changed = document();
        let pointer = place.get(&all);
        *changed.pointer_mut(pointer).expect("a value") = value.clone();
        if loads(&changed).is_ok() {
            // A number or a truth value where a text is meant: YAML writes them alike, so the parser takes both.
            let plain = value.is_number() || value.is_boolean();
            prop_assert!(plain || is_valid(&changed), "{} at {}", value, pointer);
        }
    }
}
