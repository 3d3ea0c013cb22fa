use routes::{BodySchema, Routes};

use crate::{Folder, lines};

const ROUTES: &str = "version: 1\nroutes:\n- {id: a, match: {method: POST, path: /a}, stream: s, handler: external, request: {schema: order.json}}\n";

fn load(schema: &str, others: &[(&str, &str)]) -> Result<Routes, Vec<String>> {
    let folder = Folder::with(&[("routes.yaml", ROUTES), ("order.json", schema)]);
    others.iter().for_each(|(name, content)| folder.write(name, content));
    folder.load("routes.yaml").map_err(lines)
}

fn compiled(schema: &str) -> BodySchema {
    let routes = load(schema, &[]).expect("valid");
    routes.routes[0].request.schema.clone().expect("a schema")
}

#[test]
fn a_body_is_checked_and_each_fault_has_a_pointer() {
    let schema = compiled(
        r#"{"type": "object", "required": ["sku"], "properties": {
            "sku": {"type": "string", "pattern": "^[A-Z]{3}$"},
            "lines": {"type": "array", "items": {"type": "integer", "minimum": 1}},
            "id": {"type": "string", "format": "uuid"}}}"#,
    );
    for (body, faults) in [
        (r#"{"sku": "ABC"}"#, vec![]),
        ("\u{feff}{\"sku\": \"ABC\"}", vec![]),
        (r#"{"sku": "hunter2"}"#, vec![("/sku", "does not match")]),
        (
            r#"{"lines": [1, 0, "x"]}"#,
            vec![
                ("/lines/1", "less than the minimum"),
                ("/lines/2", "is not of type"),
                ("", "\"sku\" is a required property"),
            ],
        ),
        (r#"{"sku": "ABC", "id": "x"}"#, vec![("/id", "uuid")]),
        ("", vec![("", "is not JSON: EOF")]),
        ("{", vec![("", "is not JSON: EOF")]),
        ("[]", vec![("", "is not of type \"object\"")]),
    ] {
        let mut found = schema.check(body.as_bytes()).err().unwrap_or_default();
        found.sort_by(|a, b| (a.pointer.is_empty(), &a.pointer).cmp(&(b.pointer.is_empty(), &b.pointer)));
        assert_eq!(found.len(), faults.len(), "{body}: {found:?}");
        for (found, (pointer, detail)) in found.iter().zip(faults) {
            assert!(found.pointer == pointer && found.detail.contains(detail), "{body}: {found:?}");
            assert!(!found.detail.contains("hunter2"), "{body}: {found:?}");
        }
    }
    assert!(schema.check(b"\xff\xfe").is_err());
}

#[test]
fn hostile_bodies_cost_a_bounded_answer() {
    let schema = compiled(r##"{"items": {"type": "object", "additionalProperties": {"$ref": "#"}}}"##);
    let deep = |depth: usize| format!("{}{}", "[{\"a\":".repeat(depth / 2), "1") + &"}]".repeat(depth / 2);
    let wrong = format!("[{}1]", "1,".repeat(300_000));
    let wrong_and_small = format!("[{}1]", "1,".repeat(8_000));
    let long_name = format!("[{{\"{}\": [1]}}]", "x".repeat(100_000 / 2));

    assert_eq!(schema.check(deep(64).as_bytes()), Ok(()));
    let refused = schema.check(deep(66).as_bytes()).expect_err("too deep");
    assert_eq!(refused[0].detail, "is nested more than 64 deep");
    assert!(schema.check("[".repeat(8 << 20).as_bytes()).is_err());
    assert!(schema.check(format!("{{\"a\": \"{}\"}}", "[".repeat(1_000)).as_bytes()).is_ok());
    assert_eq!(schema.check(wrong.as_bytes()).expect_err("wrong").len(), 1);
    assert_eq!(schema.check(wrong_and_small.as_bytes()).expect_err("wrong").len(), BodySchema::MOST_FAULTS);
    let fault = &schema.check(long_name.as_bytes()).expect_err("wrong")[0];
    assert!(fault.pointer == "/0" && fault.detail.len() < 400, "{fault:?}");
}

#[test]
fn a_pattern_takes_linear_time() {
    let schema = compiled(r#"{"type": "string", "pattern": "^(a+)+$"}"#);

    let body = format!("\"{}!\"", "a".repeat(60_000));

    assert!(schema.check(body.as_bytes()).is_err());
}

#[test]
fn schemas_refer_to_their_neighbours_and_nothing_else() {
    let common = r#"{"$defs": {"sku": {"type": "string"}}, "type": "object"}"#;
    let other = r##"{"type": "array", "items": {"$ref": "#"}, "$comment": "a", "contains": {"$ref": "common.json#/$defs/sku"}, "minContains": 0}"##;
    let routes = load(
        r##"{"properties": {"sku": {"$ref": "parts/common.json#/$defs/sku"}, "self": {"$ref": "#"}, "more": {"$ref": "./parts/other.json"}}}"##,
        &[("parts/common.json", common), ("parts/other.json", other)],
    );
    let schema = routes.expect("valid").routes[0].request.schema.clone().expect("a schema");

    assert!(schema.check(br#"{"sku": 1}"#).is_err() && schema.check(br#"{"self": {"sku": 1}}"#).is_err());
    let document = schema.document();
    assert_eq!(document["properties"]["sku"]["$ref"], "#/$defs/parts~1common.json/$defs/sku");
    assert_eq!(document.pointer("/$defs/parts~1common.json/$defs/sku/type"), Some(&"string".into()));
    assert_eq!(
        document.pointer("/$defs/parts~1other.json/items/$ref"),
        Some(&"#/$defs/parts~1other.json".into())
    );
    let alone = jsonschema::validator_for(document).expect("a document of its own");
    assert!(
        !alone.is_valid(&serde_json::json!({"sku": 1}))
            && !alone.is_valid(&serde_json::json!({"more": [[{}]]}))
    );
    for reference in [
        "https://example.org/schema.json",
        "file:///etc/passwd",
        "/etc/passwd",
        "../../../../../../etc/passwd",
        "%2e%2e/%2e%2e/etc/passwd",
        "//example.org/schema.json",
        "gone.json",
    ] {
        let found = load(&format!(r#"{{"$ref": "{reference}"}}"#), &[]).expect_err(reference);
        assert!(found.len() == 1 && found[0].starts_with("3:"), "{reference}: {found:?}");
        assert!(!found[0].contains("root:"), "{reference}: {found:?}");
    }
}

#[test]
fn files_outside_the_folder_are_refused() {
    let outside = Folder::with(&[("order.json", "{}")]);
    let folder = Folder::with(&[("routes.yaml", ROUTES)]);
    std::os::unix::fs::symlink(outside.path("order.json"), folder.path("order.json")).expect("a link");

    let linked = lines(folder.load("routes.yaml").expect_err("outside"));
    folder.write("routes.yaml", &ROUTES.replace("order.json", "../order.json"));
    let above = lines(folder.load("routes.yaml").expect_err("outside"));

    for found in [linked, above] {
        assert!(found[0].ends_with("must be a path below the folder of the routes file"), "{found:?}");
    }
}

#[test]
fn schemas_that_are_wrong_are_refused_at_load() {
    for (schema, fault) in [
        ("", "must be JSON: EOF"),
        ("{\"type\": \"objekt\"}", "is not a schema of draft 2020-12 at /type"),
        ("{\"type\": \"string\", \"pattern\": \"(\"}", "is not a schema of draft 2020-12"),
        ("{\"type\": \"string\", \"pattern\": \"(?=a)b\"}", "is not a schema of draft 2020-12"),
        ("{\"type\": \"string\", \"pattern\": \"(a)\\\\1\"}", "is not a schema of draft 2020-12"),
        ("{\"$schema\": \"http://json-schema.org/draft-07/schema#\"}", "must be of draft 2020-12"),
        ("{\"$ref\": \"#/$defs/none\"}", "is not"),
        ("[]", "is not a schema"),
    ] {
        let found = load(schema, &[]).expect_err(schema);
        assert!(
            found.len() == 1 && found[0].starts_with("3:") && found[0].contains(fault),
            "{schema}: {found:?}"
        );
    }
}
