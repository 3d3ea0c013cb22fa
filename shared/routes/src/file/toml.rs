//! TOML to [`Node`]s.

use std::cell::Cell;
use std::ops::Range;

use toml_edit::{Document, Item, Key, TableLike, Value as TomlValue};

use super::node::{Node, Place, SyntaxError, Text, Value};

/// Reads a document.
///
/// # Errors
/// The text is not TOML.
pub(super) fn parse(text: &str) -> Result<Node, SyntaxError> {
    let places = Places::of(text);
    let document = Document::parse(text).map_err(|error| {
        let first = error.message().lines().next().unwrap_or_default();
        (places.of_span(error.span()), format!("is not TOML: {first}"))
    })?;
    Ok(places.table(document.as_table(), Place { line: 1, column: 1 }))
}

/// Where the lines of a text begin.
struct Places<'a> {
    text: &'a str,
    starts: Vec<usize>,
    /// The last place looked up, so that a long line is not counted from its start each time.
    last: Cell<(usize, Place)>,
}

impl<'a> Places<'a> {
    fn of(text: &'a str) -> Self {
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { text, starts, last: Cell::default() }
    }

    fn of_span(&self, span: Option<Range<usize>>) -> Place {
        let at = span.map_or(0, |span| span.start.min(self.text.len()));
        let line = self.starts.partition_point(|start| *start <= at);
        let (last, place) = self.last.get();
        let (from, column) =
            if place.line == line && last <= at { (last, place.column) } else { (self.starts[line - 1], 1) };
        let between = self.text.get(from..at).unwrap_or_default();
        let place = Place { line, column: column + between.chars().count() };
        self.last.set((at, place));
        place
    }

    fn table(&self, table: &dyn TableLike, at: Place) -> Node {
        let entries = table.iter().filter_map(|(name, _)| table.get_key_value(name));
        let entries = entries.map(|(key, item)| {
            let at = self.of_span(key.span().or_else(|| item.span()));
            (Text { at, text: key.get().to_owned() }, self.item(key, item, at))
        });
        Node { at, value: Value::Map(entries.collect()) }
    }

    fn item(&self, key: &Key, item: &Item, at: Place) -> Node {
        match item {
            Item::None => Node { at, value: Value::Empty },
            Item::Value(value) => self.value(value, self.of_span(value.span().or_else(|| key.span()))),
            Item::Table(table) => self.table(table, at),
            Item::ArrayOfTables(tables) => {
                let tables = tables.iter().map(|table| {
                    let at = table.span().map_or(at, |span| self.of_span(Some(span)));
                    self.table(table, at)
                });
                Node { at, value: Value::List(tables.collect()) }
            }
        }
    }

    fn value(&self, value: &TomlValue, at: Place) -> Node {
        let value = match value {
            TomlValue::String(text) => Value::Scalar(text.value().clone()),
            TomlValue::Integer(number) => Value::Scalar(number.value().to_string()),
            TomlValue::Float(number) => Value::Scalar(number.value().to_string()),
            TomlValue::Boolean(truth) => Value::Scalar(truth.value().to_string()),
            TomlValue::Datetime(date) => Value::Scalar(date.value().to_string()),
            TomlValue::Array(items) => {
                let place = |item: &TomlValue| item.span().map_or(at, |span| self.of_span(Some(span)));
                Value::List(items.iter().map(|item| self.value(item, place(item))).collect())
            }
            TomlValue::InlineTable(table) => return self.table(table, at),
        };
        Node { at, value }
    }
}
