//! Decodes bytes to fields, and explains why bytes cannot be decoded.

use serde_json::Value;

use super::{ParseError, WeatherRequest};

/// Most characters of an unknown field's name that an error shows.
const NAME_SHOWN: usize = 64;

/// Decodes one JSON object without checking its values.
pub(super) fn decode(bytes: &[u8]) -> Result<WeatherRequest, ParseError> {
    match serde_json::from_slice(bytes) {
        // serde also decodes a struct from an array, which the contract does not allow.
        Ok(request) if starts_an_object(bytes) => Ok(request),
        Ok(_) => Err(no_object()),
        Err(error) if error.is_data() => Err(explain(bytes, &error)),
        Err(error) => Err(ParseError::Malformed(error.to_string())),
    }
}

/// Explains why bytes whose first error is one of shape are refused. Only refused requests take this path.
///
/// The decoder stopped at that error. If the rest is not JSON, the error is that the body is not JSON.
fn explain(bytes: &[u8], error: &serde_json::Error) -> ParseError {
    let fields = match serde_json::from_slice(bytes) {
        Ok(Value::Object(fields)) => fields,
        Ok(_) => return no_object(),
        Err(error) => return ParseError::Malformed(error.to_string()),
    };
    let message = error.to_string();
    let named = |kind: &str| {
        let (name, _) = message.strip_prefix(kind)?.strip_prefix(" field `")?.rsplit_once('`')?;
        // In the message, the known names follow the unknown one, also in backticks.
        let name = name.rsplit_once("`, expected ").map_or(name, |(name, _)| name);
        Some(name.chars().take(NAME_SHOWN).collect::<String>())
    };
    let wrong = |field, detail: &str| ParseError::WrongShape { field, detail: detail.to_owned() };
    if let Some(name) = named("missing") {
        return wrong(Some(name), "is required");
    }
    if let Some(name) = named("duplicate") {
        return wrong(Some(name), "is given more than once");
    }
    if let Some(name) = named("unknown") {
        return wrong(Some(name), "is not a known field; there are `city` and `location`");
    }
    let text = |name: &str| fields.get(name).is_none_or(Value::is_string);
    if !text("city") {
        wrong(Some("city".to_owned()), "must be a string")
    } else if !text("location") {
        wrong(Some("location".to_owned()), "must be a string or null")
    } else {
        wrong(None, "the body must be an object with `city` and optionally `location`")
    }
}

fn starts_an_object(bytes: &[u8]) -> bool {
    bytes.trim_ascii_start().first() == Some(&b'{')
}

fn no_object() -> ParseError {
    ParseError::WrongShape { field: None, detail: "the body must be a JSON object".to_owned() }
}
