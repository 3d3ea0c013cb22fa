//! What a file says, before it means something: texts, lists and maps, each with its place. YAML and TOML become this.

use std::fmt;

/// A place in a file: line and column, from 1; the column counts characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Place {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

/// A value and its place.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) at: Place,
    pub(crate) value: Value,
}

/// A value. Numbers and truth values are still texts: what they mean is decided by their key.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    /// Nothing, as in `cors:`.
    Empty,
    /// A text, a number or a truth value, as it was written.
    Scalar(String),
    List(Vec<Node>),
    Map(Vec<(Text, Node)>),
}

/// A text and its place.
#[derive(Debug, Clone)]
pub(crate) struct Text {
    pub(crate) at: Place,
    pub(crate) text: String,
}

impl Node {
    /// The value of a key, if this is a map.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        let Value::Map(entries) = &self.value else { return None };
        entries.iter().find(|(name, _)| name.text == key).map(|(_, node)| node)
    }

    /// How many values this is.
    pub(super) fn weight(&self) -> usize {
        1 + match &self.value {
            Value::Empty | Value::Scalar(_) => 0,
            Value::List(items) => items.iter().map(Self::weight).sum(),
            Value::Map(entries) => entries.iter().map(|(_, node)| node.weight()).sum(),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "nothing",
            Self::Scalar(_) => "a single value",
            Self::List(_) => "a list",
            Self::Map(_) => "a group of keys",
        })
    }
}

/// Why a text has no [`Node`].
pub(super) type SyntaxError = (Place, String);
