//! The request of a caller, and how it is read from untrusted bytes.

mod shape;

use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The longest city or location, in Unicode scalar values, after trimming.
pub const MAX_CHARS: usize = 100;

/// A request for the weather of one place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"city": "New York", "location": "Downtown"}))]
// For tools that generate requests, the patterns describe `normalized` and `check` exactly: 1 to 100
// characters (for the location 0 to 100) that are not `is_invisible`, with white space around them. A
// test compares the patterns with the checks.
pub struct WeatherRequest {
    /// The city: 1 to 100 characters after trimming, all of them printable.
    #[garde(custom(not_empty), custom(not_too_long), custom(printable))]
    #[schema(
        min_length = 1,
        pattern = r"^[\u0009-\u000d\u0020\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]*[^\u0000-\u001f\u007f-\u009f\u200b\u2028-\u202e\u2060\u2066-\u2069\ufeff\u0020\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000][^\u0000-\u001f\u007f-\u009f\u200b\u2028-\u202e\u2060\u2066-\u2069\ufeff]{0,99}[\u0009-\u000d\u0020\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]*$"
    )]
    pub city: String,
    /// A part of the city, or the region or country it lies in: up to 100 printable characters
    /// after trimming. Absent, null and blank mean the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(inner(custom(not_too_long), custom(printable)))]
    #[schema(
        pattern = r"^[\u0009-\u000d\u0020\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]*(?:[^\u0000-\u001f\u007f-\u009f\u200b\u2028-\u202e\u2060\u2066-\u2069\ufeff\u0020\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000][^\u0000-\u001f\u007f-\u009f\u200b\u2028-\u202e\u2060\u2066-\u2069\ufeff]{0,99})?[\u0009-\u000d\u0020\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]*$"
    )]
    pub location: Option<String>,
}

impl WeatherRequest {
    /// Reads a request from the bytes of a body: decodes it, trims its values and checks every rule.
    ///
    /// # Errors
    /// See [`ParseError`]: the bytes are not JSON, are JSON of another shape, or hold values that break
    /// rules. The error lists all such values.
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseError> {
        let request = shape::decode(bytes)?.normalized();
        request.check().map_err(ParseError::Invalid)?;
        Ok(request)
    }

    /// The request without white space around its values. A blank location becomes `None`, since an empty
    /// form field has no meaning. A blank city becomes empty, and [`WeatherRequest::check`] refuses it.
    #[must_use]
    pub fn normalized(mut self) -> Self {
        trim(&mut self.city);
        if let Some(location) = &mut self.location {
            trim(location);
        }
        self.location = self.location.filter(|location| !location.is_empty());
        self
    }

    /// Checks every rule; does not trim the values first (see [`WeatherRequest::normalized`]).
    ///
    /// # Errors
    /// All broken rules, in the order of the fields.
    pub fn check(&self) -> Result<(), Vec<FieldViolation>> {
        let Err(report) = self.validate() else { return Ok(()) };
        Err(report
            .iter()
            // `inner` adds the key of the element to the path, but the error names only the field.
            .map(|(path, error)| FieldViolation {
                field: if path.to_string().starts_with("city") { "city" } else { "location" },
                detail: error.message().to_owned(),
            })
            .collect())
    }
}

/// Why bytes are not a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// The bytes are not JSON in UTF-8, or other bytes follow the JSON: HTTP 400.
    #[error("the body is not JSON: {0}")]
    Malformed(String),
    /// The JSON is not an object with a `city`, an optional `location`, and no other field: HTTP 422.
    /// Decoding stops at the first such error.
    #[error("{}{detail}", field.as_ref().map(|name| format!("`{name}` ")).unwrap_or_default())]
    WrongShape {
        /// The name of the wrong field, shortened if it is long; `None` if the error is not about one field.
        field: Option<String>,
        /// The error, as a phrase that follows the field's name.
        detail: String,
    },
    /// All values that break rules: HTTP 422.
    #[error("{}", sentence(.0))]
    Invalid(Vec<FieldViolation>),
}

/// One value that breaks one rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldViolation {
    /// The field's name in JSON.
    pub field: &'static str,
    /// The rule, as a phrase that follows the field's name.
    pub detail: String,
}

fn sentence(violations: &[FieldViolation]) -> String {
    let parts: Vec<_> = violations.iter().map(|v| format!("`{}` {}", v.field, v.detail)).collect();
    parts.join("; ")
}

/// Trims in place, so that the usual text, which has no white space around it, is not copied.
fn trim(text: &mut String) {
    text.truncate(text.trim_end().len());
    let blank = text.len() - text.trim_start().len();
    text.drain(..blank);
}

fn not_empty(text: &str, (): &()) -> garde::Result {
    if text.is_empty() { Err(garde::Error::new("must not be empty")) } else { Ok(()) }
}

fn not_too_long(text: &str, (): &()) -> garde::Result {
    // A text never has more characters than bytes, so a short text needs no count.
    if text.len() <= MAX_CHARS || text.chars().count() <= MAX_CHARS {
        return Ok(());
    }
    Err(garde::Error::new(format!("must be at most {MAX_CHARS} characters")))
}

fn printable(text: &str, (): &()) -> garde::Result {
    if text.chars().any(is_invisible) {
        return Err(garde::Error::new("must not contain control, line-breaking or invisible characters"));
    }
    Ok(())
}

/// Characters that no name needs and that can falsify logs, headers and terminals: controls (Cc), line and
/// paragraph separators, bidirectional embeddings, overrides and isolates (Unicode UAX #9), zero-width
/// space, word joiner and byte order mark. The zero-width joiners are allowed, since names in Persian and
/// Indic scripts need them.
fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200B}' | '\u{2028}'..='\u{202E}' | '\u{2060}' | '\u{2066}'..='\u{2069}' | '\u{FEFF}')
}

#[cfg(test)]
mod tests;
