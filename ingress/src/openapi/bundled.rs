//! Puts a JSON Schema into a larger document, so that its references find what they mean.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// Adds `schema` to `schemas` under `name`; returns a reference to it. `schemas` are the `components/schemas` of the
/// document. References inside of the schema are rewritten to places in the document, because not every reader of
/// OpenAPI understands `$id`.
pub(super) fn add(schemas: &mut Map<String, Value>, name: &str, schema: &Value) -> Value {
    let place = format!("#/components/schemas/{name}");
    let mut schema = schema.clone();
    let mut places = BTreeMap::new();
    find_ids(&schema, &place, &mut places);
    rewrite(&mut schema, &place, &places);
    schemas.insert(name.to_owned(), schema);
    json!({"$ref": place})
}

/// Notes the place of each part that has an `$id`.
fn find_ids(value: &Value, place: &str, places: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(members) => {
            if let Some(Value::String(id)) = members.get("$id") {
                places.insert(id.trim_end_matches('#').to_owned(), place.to_owned());
            }
            for (name, member) in members {
                find_ids(member, &format!("{place}/{}", escaped(name)), places);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                find_ids(item, &format!("{place}/{index}"), places);
            }
        }
        _ => {}
    }
}

/// Rewrites references; `root` is the place of the part with the nearest `$id`.
fn rewrite(value: &mut Value, root: &str, places: &BTreeMap<String, String>) {
    match value {
        Value::Object(members) => {
            let own = match members.get("$id") {
                Some(Value::String(id)) => places.get(id.trim_end_matches('#')).cloned(),
                _ => None,
            };
            let root = own.as_deref().unwrap_or(root);
            if members.get("$id").is_some_and(Value::is_string) {
                members.remove("$id");
            }
            if members.get("$schema").is_some_and(Value::is_string) {
                members.remove("$schema");
            }
            if let Some(Value::String(reference)) = members.get_mut("$ref") {
                let (target, fragment) = reference.split_once('#').unwrap_or((reference, ""));
                let found = if target.is_empty() { Some(root) } else { place_of(target, places) };
                if let Some(found) = found {
                    *reference = format!("{found}{fragment}");
                }
            }
            members.values_mut().for_each(|member| rewrite(member, root, places));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| rewrite(item, root, places)),
        _ => {}
    }
}

/// The place of the part with this `$id`, also if the reference is relative to its folder.
fn place_of<'a>(target: &str, places: &'a BTreeMap<String, String>) -> Option<&'a str> {
    let name = target.trim_start_matches("./");
    let ends = |id: &str| id.strip_suffix(name).is_some_and(|folder| folder.ends_with('/'));
    let relative = || places.iter().find(|(id, _)| ends(id)).map(|(_, place)| place);
    places.get(target).or_else(relative).map(String::as_str)
}

/// A name as one part of a JSON Pointer in a URI.
fn escaped(name: &str) -> String {
    let mut text = String::new();
    for byte in name.bytes() {
        match byte {
            b'~' => text.push_str("~0"),
            b'/' => text.push_str("~1"),
            b if b.is_ascii_alphanumeric() || b"-._$".contains(&b) => text.push(b as char),
            b => text.push_str(&format!("%{b:02X}")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_lead_to_places_in_the_document() {
        let schema = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "properties": {"a": {"$ref": "#/$defs/size"}, "b": {"$ref": "common.json#/$defs/id"},
                           "c": {"$ref": "schema:///parts/common.json"}},
            "$defs": {"size": {"type": "integer"},
                      "schema:///parts/common.json": {"$id": "schema:///parts/common.json",
                          "$defs": {"id": {"$ref": "#/$defs/text"}, "text": {"type": "string"}}}},
        });
        let mut schemas = Map::new();

        let reference = add(&mut schemas, "r.request", &schema);

        assert_eq!(reference, json!({"$ref": "#/components/schemas/r.request"}));
        let placed = &schemas["r.request"];
        let common = "#/components/schemas/r.request/$defs/schema%3A~1~1~1parts~1common.json";
        assert_eq!(placed["properties"]["a"]["$ref"], "#/components/schemas/r.request/$defs/size");
        assert_eq!(placed["properties"]["b"]["$ref"], format!("{common}/$defs/id"));
        assert_eq!(placed["properties"]["c"]["$ref"], common);
        let inner = &placed["$defs"]["schema:///parts/common.json"]["$defs"]["id"];
        assert_eq!(inner["$ref"], format!("{common}/$defs/text"));
        assert!(placed.get("$schema").is_none());
    }
}
