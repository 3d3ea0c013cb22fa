//! A request becomes values, or a list of all rules that it breaks.

use serde_json::{Map, Value};
use service::http::body::without_bom;
use streamgate::envelope::{FieldError, Place};

use crate::message::Role;
use crate::problem::Refusal;

/// The fields of a request, and the rules that those read so far have broken.
pub(crate) struct Form {
    fields: Map<String, Value>,
    errors: Vec<FieldError>,
}

/// The rule of a text. Spaces around it are removed first, unless it has lines.
#[derive(Clone, Copy)]
pub(crate) struct Rule {
    pub(crate) most_characters: usize,
    pub(crate) most_bytes: usize,
    /// Line breaks and tabs are allowed.
    pub(crate) lines: bool,
    /// Only letters, digits and `. _ -`.
    pub(crate) word: bool,
}

impl Rule {
    /// A line of any length.
    pub(crate) const LINE: Self =
        Self { most_characters: usize::MAX, most_bytes: usize::MAX, lines: false, word: false };

    fn broken_by(self, text: &str) -> Option<String> {
        let is_control = |c: char| c.is_control() && !(self.lines && matches!(c, '\n' | '\r' | '\t'));
        if text.trim().is_empty() {
            return Some("must not be empty or blank".to_owned());
        }
        if text.chars().any(is_control) {
            return Some("must not have control characters".to_owned());
        }
        if text.len() > self.most_bytes {
            return Some(format!("must be at most {} bytes long", self.most_bytes));
        }
        if text.chars().count() > self.most_characters {
            return Some(format!("must be at most {} characters long", self.most_characters));
        }
        let is_word = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        (self.word && !text.bytes().all(is_word)).then(|| "may have only A-Z a-z 0-9 . _ -".to_owned())
    }
}

impl Form {
    /// A form whose values come from elsewhere than a body.
    pub(crate) fn empty() -> Self {
        Self { fields: Map::new(), errors: Vec::new() }
    }

    /// The fields of a JSON object.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, Refusal> {
        match serde_json::from_slice(without_bom(body)) {
            Ok(Value::Object(fields)) => Ok(Self { fields, errors: Vec::new() }),
            Ok(_) => Err(Refusal::new(422, "the body must be a JSON object")),
            Err(error) => Err(Refusal::new(400, format!("the body is not JSON: {error}"))),
        }
    }

    /// The text of a field of the body.
    pub(crate) fn text(&mut self, field: &str, rule: Rule) -> String {
        match self.fields.remove(field) {
            Some(Value::String(text)) => self.check(field, Some(&text), rule),
            Some(_) => self.wrong(field, "must be text"),
            None => self.check(field, None, rule),
        }
    }

    /// The role in a field of the body.
    pub(crate) fn role(&mut self, field: &str) -> Role {
        let text = self.text(field, Rule::LINE);
        self.is(field, &text).unwrap_or(Role::Customer)
    }

    /// The role that a text names; nothing if the text is empty.
    pub(crate) fn is(&mut self, field: &str, text: &str) -> Option<Role> {
        let role = text.parse::<Role>();
        if let (Err(rule), false) = (&role, text.is_empty()) {
            self.wrong(field, *rule);
        }
        role.ok()
    }

    /// The text, if it follows the rule.
    pub(crate) fn check(&mut self, field: &str, text: Option<&str>, rule: Rule) -> String {
        let Some(text) = text else { return self.wrong(field, "is missing") };
        let text = if rule.lines { text } else { text.trim_matches(' ') };
        match rule.broken_by(text) {
            Some(broken) => self.wrong(field, broken),
            None => text.to_owned(),
        }
    }

    /// Notes the rule that a field breaks. The value that it returns is never used.
    pub(crate) fn wrong(&mut self, field: &str, detail: impl Into<String>) -> String {
        self.errors.push(FieldError { place: Place::Field(field.to_owned()), detail: detail.into() });
        String::new()
    }

    /// An error if something was wrong.
    pub(crate) fn finish(self) -> Result<(), Refusal> {
        if self.errors.is_empty() { Ok(()) } else { Err(Refusal::of_fields(self.errors)) }
    }
}
