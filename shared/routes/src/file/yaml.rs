//! YAML to [`Node`]s. serde-saphyr would end at the first fault and forget how a value was written, so this reads the
//! events of its parser.

use std::borrow::Cow;
use std::collections::HashMap;

use granit_parser::{Event, Marker, Parser, ScalarStyle, Tag};

use super::node::{Node, Place, SyntaxError, Text, Value};

/// How deep lists and maps may be nested.
const DEEPEST: usize = 32;
/// The most values, with those that aliases repeat.
const MOST_VALUES: usize = 200_000;

/// Reads one document.
///
/// # Errors
/// The text is not YAML, has several documents, uses tags of its own, or is too deep or too large with its aliases.
pub(super) fn parse(text: &str) -> Result<Node, SyntaxError> {
    let mut tree = Tree::default();
    for event in Parser::new_from_str(text) {
        let (event, span) =
            event.map_err(|error| (place(error.marker()), format!("is not YAML: {}", error.info())))?;
        let at = place(&span.start);
        tree.take(event, at).map_err(|message| (at, message))?;
    }
    Ok(tree.root.unwrap_or(Node { at: Place { line: 1, column: 1 }, value: Value::Empty }))
}

fn place(marker: &Marker) -> Place {
    Place { line: marker.line(), column: marker.col() + 1 }
}

/// The tree that is being built.
#[derive(Default)]
struct Tree {
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    values: usize,
    root: Option<Node>,
}

/// A list or map that has not ended.
struct Open {
    node: Node,
    anchor: usize,
    /// The key whose value comes next.
    key: Option<Text>,
}

impl Tree {
    fn take(&mut self, event: Event<'_>, at: Place) -> Result<(), String> {
        match event {
            Event::DocumentStart(..) if self.root.is_some() => Err("a file has one document".to_owned()),
            Event::Scalar(text, style, anchor, tag) => {
                check_tag(tag)?;
                let empty = style == ScalarStyle::Plain && matches!(&*text, "" | "~" | "null");
                let value = if empty { Value::Empty } else { Value::Scalar(text.into_owned()) };
                self.place(Node { at, value }, anchor)
            }
            Event::SequenceStart(_, anchor, tag) => self.open(Value::List(Vec::new()), anchor, tag, at),
            Event::MappingStart(_, anchor, tag) => self.open(Value::Map(Vec::new()), anchor, tag, at),
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(done) => self.place(done.node, done.anchor),
                None => Err("is not YAML".to_owned()),
            },
            Event::Alias(anchor) => {
                let node =
                    self.anchors.get(&anchor).ok_or("an alias must not stand inside its own anchor")?;
                self.values += node.weight();
                if self.values > MOST_VALUES {
                    return Err(format!("aliases repeat too much: a file has at most {MOST_VALUES} values"));
                }
                // The place of the anchor's values is kept: it is where a fault is mended.
                self.place(node.clone(), 0)
            }
            _ => Ok(()),
        }
    }

    fn open(
        &mut self,
        value: Value,
        anchor: usize,
        tag: Option<Cow<'_, Tag>>,
        at: Place,
    ) -> Result<(), String> {
        check_tag(tag)?;
        if self.open.len() == DEEPEST {
            return Err(format!("lists and keys are nested more than {DEEPEST} deep"));
        }
        self.open.push(Open { node: Node { at, value }, anchor, key: None });
        Ok(())
    }

    /// Puts a finished value where it belongs.
    fn place(&mut self, node: Node, anchor: usize) -> Result<(), String> {
        self.values += 1;
        if self.values > MOST_VALUES {
            return Err(format!("a file has at most {MOST_VALUES} values"));
        }
        if anchor != 0 {
            self.values += node.weight();
            self.anchors.insert(anchor, node.clone());
        }
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        match (&mut open.node.value, open.key.take(), node.value) {
            (Value::List(items), _, value) => items.push(Node { at: node.at, value }),
            (Value::Map(entries), Some(key), value) => entries.push((key, Node { at: node.at, value })),
            (_, None, Value::Scalar(text)) => open.key = Some(Text { at: node.at, text }),
            (_, None, other) => return Err(format!("a key must be a text, not {other}")),
            _ => {}
        }
        Ok(())
    }
}

fn check_tag(tag: Option<Cow<'_, Tag>>) -> Result<(), String> {
    match tag {
        Some(tag) if !tag.is_yaml_core_schema() => Err("tags such as !name are not used here".to_owned()),
        _ => Ok(()),
    }
}
