//! Reads a group of keys by its table: unknown keys, missing keys and wrong values are faults, defaults are filled in.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use super::interpolate::{Values, interpolate};
use super::keys::{Absent, Key, Kind};
use super::node::{Node, Place, Text, Value};
use super::rules::{FIELD, nearest};
use super::units;

/// The most names that a file may choose in one group: upstreams, and fields of a header.
const MOST_NAMES: usize = 1_000;

/// What is read with, and what is wrong so far.
pub(super) struct Reader<'a> {
    pub(super) values: Values<'a>,
    pub(super) faults: Vec<(Place, String)>,
}

/// A group of keys, read: what was wrong is missing, and a fault.
#[derive(Debug, Clone, Default)]
pub(super) struct Section {
    pub(super) at: Place,
    entries: BTreeMap<&'static str, Entry>,
}

#[derive(Debug, Clone)]
struct Entry {
    at: Place,
    /// The file has the key; else the value is a default.
    given: bool,
    /// `None` if the value is wrong.
    value: Option<Read>,
}

/// The value of a key.
#[derive(Debug, Clone)]
enum Read {
    Text(Scalar),
    Texts(Vec<Scalar>),
    Number(u64),
    Duration(Duration),
    Section(Section),
    Sections(Vec<Section>),
    Named(Vec<(Scalar, Section)>),
    Fields(Vec<(Scalar, Scalar)>),
}

/// A text: as it is written, which may be shown, and as it is meant, which may be a secret.
#[derive(Clone)]
pub(super) struct Scalar {
    pub(super) at: Place,
    pub(super) written: String,
    pub(super) text: String,
}

/// Without the text, which may be a secret.
impl std::fmt::Debug for Scalar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Scalar").field(&self.written).finish()
    }
}

impl Section {
    fn read(&self, key: &str) -> Option<&Read> {
        self.entries.get(key)?.value.as_ref()
    }

    /// The file has the key, right or wrong.
    pub(super) fn given(&self, key: &str) -> bool {
        self.entries.get(key).is_some_and(|entry| entry.given)
    }

    /// The place of a key, or of the section.
    pub(super) fn place(&self, key: &str) -> Place {
        self.entries.get(key).map_or(self.at, |entry| entry.at)
    }

    pub(super) fn text(&self, key: &str) -> Option<&Scalar> {
        match self.read(key) {
            Some(Read::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// The text of a choice; empty if it was wrong.
    pub(super) fn choice(&self, key: &str) -> &str {
        self.text(key).map_or("", |scalar| &scalar.text)
    }

    pub(super) fn texts(&self, key: &str) -> &[Scalar] {
        match self.read(key) {
            Some(Read::Texts(texts)) => texts,
            _ => &[],
        }
    }

    pub(super) fn number(&self, key: &str) -> u64 {
        match self.read(key) {
            Some(Read::Number(number)) => *number,
            _ => 0,
        }
    }

    pub(super) fn flag(&self, key: &str) -> bool {
        self.number(key) == 1
    }

    pub(super) fn duration(&self, key: &str) -> Option<Duration> {
        match self.read(key) {
            Some(Read::Duration(duration)) => Some(*duration),
            _ => None,
        }
    }

    pub(super) fn section(&self, key: &str) -> Option<&Self> {
        match self.read(key) {
            Some(Read::Section(section)) => Some(section),
            _ => None,
        }
    }

    pub(super) fn sections(&self, key: &str) -> &[Self] {
        match self.read(key) {
            Some(Read::Sections(sections)) => sections,
            _ => &[],
        }
    }

    pub(super) fn named(&self, key: &str) -> &[(Scalar, Self)] {
        match self.read(key) {
            Some(Read::Named(sections)) => sections,
            _ => &[],
        }
    }

    pub(super) fn fields(&self, key: &str) -> &[(Scalar, Scalar)] {
        match self.read(key) {
            Some(Read::Fields(fields)) => fields,
            _ => &[],
        }
    }
}

impl Reader<'_> {
    pub(super) fn fault(&mut self, at: Place, message: impl Into<String>) {
        self.faults.push((at, message.into()));
    }

    /// Reads the section `node` of the table `keys`. What is [`Absent::Inherited`] comes from `defaults`.
    pub(super) fn section(
        &mut self,
        node: &Node,
        keys: &'static [Key],
        defaults: Option<&Section>,
    ) -> Section {
        let mut section = Section { at: node.at, entries: BTreeMap::new() };
        let entries: &[(Text, Node)] = match &node.value {
            Value::Map(entries) => entries,
            Value::Empty => &[],
            other => {
                self.fault(
                    node.at,
                    format!("must be a group of keys ({}), not {other}", names(keys).join(", ")),
                );
                return section;
            }
        };
        let mut lines: HashMap<&str, usize> = HashMap::new();
        for (name, value) in entries {
            if let Some(first) = lines.insert(&name.text, name.at.line) {
                self.fault(name.at, format!("{} is given twice, first in line {first}", short(&name.text)));
            } else if let Some(key) = keys.iter().find(|key| key.name == name.text) {
                let value = self.value(key, value, defaults);
                section.entries.insert(key.name, Entry { at: name.at, given: true, value });
            } else {
                self.fault(name.at, unknown(&name.text, keys));
            }
        }
        for key in keys.iter().filter(|key| !lines.contains_key(key.name)) {
            let value = self.absent(key, section.at, defaults);
            section.entries.insert(key.name, Entry { at: section.at, given: false, value });
        }
        section
    }

    fn absent(&mut self, key: &'static Key, at: Place, defaults: Option<&Section>) -> Option<Read> {
        match key.absent {
            Absent::Required => {
                self.fault(at, format!("{} is missing: {}", key.name, key.doc));
                None
            }
            Absent::Nothing => None,
            Absent::Inherited => defaults.and_then(|section| section.read(key.name)).cloned(),
            Absent::Is(text) => {
                self.value(key, &Node { at, value: Value::Scalar(text.to_owned()) }, defaults)
            }
            Absent::Empty => self.value(key, &Node { at, value: Value::Map(Vec::new()) }, defaults),
        }
    }

    fn value(&mut self, key: &'static Key, node: &Node, defaults: Option<&Section>) -> Option<Read> {
        match &key.kind {
            Kind::Section(keys) => return Some(Read::Section(self.section(node, keys, defaults))),
            Kind::Sections(keys) => {
                let Value::List(items) = &node.value else {
                    self.fault(node.at, format!("{} must be a list, not {}", key.name, node.value));
                    return None;
                };
                return Some(Read::Sections(
                    items.iter().map(|item| self.section(item, keys, defaults)).collect(),
                ));
            }
            Kind::Named(keys) => return self.named(key, keys, node),
            Kind::Fields => return self.fields(key, node),
            Kind::Texts(rule) => {
                let items = match &node.value {
                    Value::List(items) => &items[..],
                    _ => std::slice::from_ref(node),
                };
                if items.is_empty() {
                    self.fault(node.at, format!("{} must not be an empty list", key.name));
                }
                let checked = |text: &str| (rule.check)(text).map(drop);
                let texts = items
                    .iter()
                    .filter_map(|item| self.scalar(key.name, item, checked).map(|(text, ())| text));
                return Some(Read::Texts(texts.collect()));
            }
            _ => {}
        }
        let (text, read) = self.scalar(key.name, node, |text| single(&key.kind, text))?;
        Some(read.unwrap_or(Read::Text(text)))
    }

    /// Reads a single value with `check`, whose error is a phrase such as "has no unit".
    fn scalar<T>(
        &mut self,
        name: &str,
        node: &Node,
        check: impl Fn(&str) -> Result<T, String>,
    ) -> Option<(Scalar, T)> {
        let Value::Scalar(written) = &node.value else {
            self.fault(node.at, format!("{name} must be a single value, not {}", node.value));
            return None;
        };
        let checked =
            interpolate(written, &self.values).and_then(|text| check(&text).map(|read| (text, read)));
        match checked {
            Ok((text, read)) => Some((Scalar { at: node.at, written: written.clone(), text }, read)),
            Err(rule) => {
                // As it is written: the text itself may come from a file of secrets. No rule repeats the text but the
                // advice to write it with a unit.
                let rule = if written.contains('$') {
                    rule.split("; write ").next().unwrap_or_default()
                } else {
                    &rule
                };
                self.fault(node.at, format!("{name}: \"{}\" {rule}", short(written)));
                None
            }
        }
    }

    fn named(&mut self, key: &'static Key, keys: &'static [Key], node: &Node) -> Option<Read> {
        let entries = self.entries(key, node)?;
        let mut named: Vec<(Scalar, Section)> = Vec::new();
        for (name, value) in entries {
            let Some(name) = self
                .name(&super::rules::ID, name, |text| named.iter().map(|(n, _)| n).find(|n| n.text == text))
            else {
                continue;
            };
            let section = self.section(value, keys, None);
            named.push((name, section));
        }
        Some(Read::Named(named))
    }

    fn fields(&mut self, key: &'static Key, node: &Node) -> Option<Read> {
        let entries = self.entries(key, node)?;
        let mut fields: Vec<(Scalar, Scalar)> = Vec::new();
        for (name, value) in entries {
            let same = |text: &str| fields.iter().map(|(n, _)| n).find(|n| n.text.eq_ignore_ascii_case(text));
            let Some(name) = self.name(&FIELD, name, same) else { continue };
            let valid = |text: &str| match http::HeaderValue::from_str(text) {
                Ok(_) => Ok(()),
                Err(_) => {
                    Err("must be the value of a header field: visible characters and spaces".to_owned())
                }
            };
            if let Some((value, ())) = self.scalar(&name.text, value, valid) {
                fields.push((name, value));
            }
        }
        Some(Read::Fields(fields))
    }

    fn entries<'n>(&mut self, key: &Key, node: &'n Node) -> Option<&'n [(Text, Node)]> {
        match &node.value {
            Value::Map(entries) if entries.len() > MOST_NAMES => {
                self.fault(node.at, format!("{} has more than {MOST_NAMES} names", key.name));
                None
            }
            Value::Map(entries) => Some(entries),
            Value::Empty => Some(&[]),
            other => {
                self.fault(node.at, format!("{} must be names with their values, not {other}", key.name));
                None
            }
        }
    }

    /// A key that the file chooses. It is not interpolated.
    fn name<'s>(
        &mut self,
        rule: &super::rules::Rule,
        name: &Text,
        same: impl Fn(&str) -> Option<&'s Scalar>,
    ) -> Option<Scalar> {
        if let Err(rule) = (rule.check)(&name.text) {
            self.fault(name.at, format!("\"{}\" {rule}", short(&name.text)));
            return None;
        }
        if let Some(first) = same(&name.text) {
            self.fault(name.at, format!("{} is given twice, first in line {}", name.text, first.at.line));
            return None;
        }
        Some(Scalar { at: name.at, written: name.text.clone(), text: name.text.clone() })
    }
}

/// A single value of a kind; `None` if it stays a text.
fn single(kind: &Kind, text: &str) -> Result<Option<Read>, String> {
    match kind {
        Kind::Text(rule) => (rule.check)(text).map(|()| None),
        Kind::Choice(choices) if choices.contains(&text) => Ok(None),
        Kind::Choice(choices) => {
            let hint =
                nearest(text, choices).map(|name| format!("; did you mean {name}?")).unwrap_or_default();
            Err(format!("must be {}{hint}", choices.join(", ")))
        }
        Kind::Flag => match text {
            "true" => Ok(Some(Read::Number(1))),
            "false" => Ok(Some(Read::Number(0))),
            _ => Err("must be true or false".to_owned()),
        },
        Kind::Count(from, to) => match text.parse::<u64>() {
            Ok(number) if (*from..=*to).contains(&number) => Ok(Some(Read::Number(number))),
            _ => Err(format!("must be a number from {from} to {to}")),
        },
        Kind::Duration(from, to) => {
            let duration = units::duration(text)?;
            if duration < units::duration(from)? || duration > units::duration(to)? {
                return Err(format!("must be {from} to {to}"));
            }
            Ok(Some(Read::Duration(duration)))
        }
        Kind::Size(largest) => match units::size(text)? {
            size if size <= *largest => Ok(Some(Read::Number(size))),
            _ => Err(format!("must be at most {}", units::show_size(*largest))),
        },
        Kind::Percent => Ok(Some(Read::Number(units::percent(text)?))),
        Kind::Texts(_) | Kind::Section(_) | Kind::Sections(_) | Kind::Named(_) | Kind::Fields => Ok(None),
    }
}

fn names(keys: &[Key]) -> Vec<&'static str> {
    keys.iter().map(|key| key.name).collect()
}

/// Says that a key is unknown, and what is probably meant: a key of this group, or one of a group below it.
fn unknown(name: &str, keys: &[Key]) -> String {
    let names = names(keys);
    if let Some(near) = nearest(name, &names) {
        return format!("{} is not a key; did you mean {near}?", short(name));
    }
    let below = keys.iter().find(|key| match key.kind {
        Kind::Section(keys) => keys.iter().any(|key| key.name == name),
        _ => false,
    });
    match below {
        Some(group) => format!("{name} belongs below {}", group.name),
        None => format!("{} is not a key; the keys here are {}", short(name), names.join(", ")),
    }
}

/// A text for a message: one line, not long.
pub(super) fn short(text: &str) -> String {
    const MOST: usize = 60;
    let shown: String = text.chars().take(MOST).flat_map(char::escape_debug).collect();
    if text.chars().nth(MOST).is_some() { format!("{shown}…") } else { shown }
}
