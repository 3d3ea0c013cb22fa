//! The tables of keys for others: the JSON Schema of the file for editors, and the reference for people.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::keys::{self, Absent, Key, Kind};

/// A text that is put together from elsewhere.
const INTERPOLATED: &str = r"\$[{$]";

/// The JSON Schema (2020-12) of a routes file, for editors. It is published as
/// `schemas/streamgate.routes.v1.json`. What it accepts may still break a rule that needs more than one key.
pub fn json_schema() -> Value {
    let mut schema = section(&keys::FILE);
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!("Streamgate routes file, version 1");
    schema
}

fn section(keys: &[Key]) -> Value {
    let properties: Map<String, Value> = keys
        .iter()
        .map(|key| {
            let mut property = kind(&key.kind);
            property["description"] = json!(key.doc);
            if let Absent::Is(default) = key.absent {
                property["default"] = json_of(&key.kind, default);
            }
            (key.name.to_owned(), property)
        })
        .collect();
    let required: Vec<&str> =
        keys.iter().filter(|key| matches!(key.absent, Absent::Required)).map(|key| key.name).collect();
    let mut schema = json!({"type": "object", "additionalProperties": false, "properties": properties});
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    schema
}

fn kind(kind: &Kind) -> Value {
    let text = |pattern: &str| match pattern {
        "" => json!({"type": "string"}),
        pattern => json!({"type": "string", "pattern": format!("{pattern}|{INTERPOLATED}")}),
    };
    match kind {
        Kind::Text(rule) => text(rule.pattern),
        Kind::Texts(rule) => {
            json!({"anyOf": [text(rule.pattern), {"type": "array", "minItems": 1, "items": text(rule.pattern)}]})
        }
        Kind::Choice(["1"]) => json!({"enum": [1, "1"]}),
        Kind::Choice(choices) => json!({"anyOf": [{"enum": choices}, text("$^")]}),
        Kind::Flag => json!({"anyOf": [{"type": "boolean"}, text("^(true|false)$")]}),
        Kind::Count(from, to) => {
            json!({"anyOf": [{"type": "integer", "minimum": from, "maximum": to}, text("^[0-9]+$")]})
        }
        Kind::Duration(..) => text("^\\s*([0-9]+\\s*(us|ms|s|m|h)\\s*)+$"),
        Kind::Size(_) => text("^\\s*[0-9]+\\s*(B|kB|KiB|MB|MiB)\\s*$"),
        Kind::Percent => text("^\\s*([1-9][0-9]?|100)%\\s*$"),
        Kind::Section(keys) => section(keys),
        Kind::Sections(keys) => {
            json!({"type": "array", "minItems": 1, "maxItems": 1000, "items": section(keys)})
        }
        Kind::Named(keys) => json!({
            "type": "object",
            "propertyNames": {"pattern": super::rules::ID.pattern},
            "additionalProperties": section(keys),
        }),
        Kind::Fields => json!({
            "type": "object",
            "propertyNames": {"pattern": super::rules::FIELD.pattern},
            "additionalProperties": {"type": "string"},
        }),
    }
}

fn json_of(kind: &Kind, default: &str) -> Value {
    match kind {
        Kind::Count(..) | Kind::Flag => serde_json::from_str(default).unwrap_or(Value::Null),
        _ => json!(default),
    }
}

/// The reference of all keys in Markdown, as docs/ROUTES.md has it.
pub fn reference() -> String {
    let mut text = String::new();
    let groups: [(&str, &[Key]); 11] = [
        ("The file", &keys::FILE),
        ("`defaults`", &keys::DEFAULTS),
        ("`routes[]`", &keys::ROUTE),
        ("`routes[].match`", &keys::MATCH),
        ("`routes[].request`", &keys::REQUEST),
        ("`routes[].reply`", &keys::REPLY),
        ("`routes[].cors`", &keys::CORS),
        ("`upstreams.NAME`", &keys::UPSTREAM),
        ("`upstreams.NAME.headers`", &keys::HEADERS),
        ("`upstreams.NAME.breaker`", &keys::BREAKER),
        ("`upstreams.NAME.reply`", &keys::UPSTREAM_REPLY),
    ];
    for (title, keys) in groups {
        let _ = write!(text, "\n### {title}\n\n| Key | Value | Default | Meaning |\n|---|---|---|---|\n");
        for key in keys {
            let default = match key.absent {
                Absent::Required => "required".to_owned(),
                Absent::Is(default) => format!("`{default}`"),
                Absent::Inherited => "`defaults`".to_owned(),
                Absent::Nothing | Absent::Empty => "–".to_owned(),
            };
            let _ = writeln!(text, "| `{}` | {} | {default} | {} |", key.name, in_words(&key.kind), key.doc);
        }
    }
    text
}

fn in_words(kind: &Kind) -> String {
    match kind {
        Kind::Text(_) => "text".to_owned(),
        Kind::Texts(_) => "text, or a list".to_owned(),
        Kind::Choice(choices) => {
            choices.iter().map(|choice| format!("`{choice}`")).collect::<Vec<_>>().join(", ")
        }
        Kind::Flag => "`true`, `false`".to_owned(),
        Kind::Count(from, to) => format!("number, {from} to {to}"),
        Kind::Duration(from, to) => format!("duration, {from} to {to}"),
        Kind::Size(largest) => format!("size, to {}", super::units::show_size(*largest)),
        Kind::Percent => "share, 1% to 100%".to_owned(),
        Kind::Section(_) => "group".to_owned(),
        Kind::Sections(_) => "list of groups".to_owned(),
        Kind::Named(_) => "groups by name".to_owned(),
        Kind::Fields => "texts by name".to_owned(),
    }
}
