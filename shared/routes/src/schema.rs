//! The JSON Schema of a body (draft 2020-12), compiled when the routes are loaded.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use jsonschema::{Draft, PatternOptions, Retrieve, Uri, ValidationError, Validator};
use serde_json::Value;
use url::Url;

use crate::file::sources::{Sources, Use, below, short_hash};

/// The one draft that is read.
const DRAFT: &str = "https://json-schema.org/draft/2020-12/schema";
/// What a schema's own address starts with, so that it can refer to its neighbours and to nothing else.
const BASE: &str = "schema:///";
/// The largest body, in bytes, all of whose faults are collected; of a larger one only the first is reported, so that
/// a hostile body does not cost a multiple of its size.
const LARGEST_COLLECTED: usize = 16 << 10;
/// The longest pointer and the longest detail, in bytes: both may hold names that the caller chose.
const LONGEST: usize = 300;

/// What is wrong with a body, at one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BodyFault {
    /// Where: a JSON Pointer (RFC 6901), empty for the whole body.
    pub pointer: String,
    /// What. It never repeats the value, which may be large or private.
    pub detail: String,
}

/// A schema. Cloning it is cheap.
#[derive(Clone)]
pub struct BodySchema(Arc<Compiled>);

struct Compiled {
    /// As the file has it.
    path: String,
    /// The whole schema: what it refers to is in `$defs`.
    document: Value,
    version: String,
    validator: Validator,
}

impl BodySchema {
    /// The most faults that are reported of one body.
    pub const MOST_FAULTS: usize = 20;
    /// How deep arrays and objects may be nested in a body that is checked.
    pub const DEEPEST: usize = 64;

    /// The path of the schema, as the routes file has it.
    pub fn path(&self) -> &str {
        &self.0.path
    }

    /// The schema for other readers, such as an OpenAPI document. The schemas that it refers to are in its `$defs`, so
    /// each `$ref` starts with `#` and means a place in this value.
    pub fn document(&self) -> &Value {
        &self.0.document
    }

    /// Names the content of [`Self::document`]: 8 hexadecimal digits.
    pub fn version(&self) -> String {
        self.0.version.clone()
    }

    /// Checks a body. A byte order mark in front is ignored.
    ///
    /// # Errors
    /// At most [`Self::MOST_FAULTS`] faults: the body is not JSON, is nested too deeply, or breaks the schema.
    pub fn check(&self, body: &[u8]) -> Result<(), Vec<BodyFault>> {
        let whole = |detail: String| vec![BodyFault { pointer: String::new(), detail }];
        let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
        if depth(body) > Self::DEEPEST {
            return Err(whole(format!("is nested more than {} deep", Self::DEEPEST)));
        }
        let value: Value =
            serde_json::from_slice(body).map_err(|error| whole(format!("is not JSON: {error}")))?;
        let validator = &self.0.validator;
        if body.len() > LARGEST_COLLECTED {
            return validator.validate(&value).map_err(|error| vec![BodyFault::of(&error)]);
        }
        if validator.is_valid(&value) {
            return Ok(());
        }
        Err(validator
            .iter_errors(&value)
            .take(Self::MOST_FAULTS)
            .map(|error| BodyFault::of(&error))
            .collect())
    }

    /// Compiles the schema at `written`, a path below `folder`.
    ///
    /// # Errors
    /// A phrase that ends a sentence such as `schema: "order.json" …`.
    pub(crate) fn compile(folder: &Path, written: &str, sources: &Arc<Sources>) -> Result<Self, String> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._-/".contains(&b);
        if !written.bytes().all(allowed) {
            return Err("must be a path of letters, digits and . _ - /".to_owned());
        }
        let schema = read(folder, written, sources)?;
        let neighbours = Arc::new(Neighbours {
            folder: folder.to_owned(),
            sources: sources.clone(),
            read: Mutex::default(),
        });
        let base = format!("{BASE}{}", written.trim_start_matches("./"));
        let validator = jsonschema::options()
            .with_draft(Draft::Draft202012)
            .with_base_uri(&base)
            .with_retriever(Shared(neighbours.clone()))
            .with_pattern_options(PatternOptions::regex())
            .should_validate_formats(true)
            .build(&schema);
        let validator = validator.map_err(|error| {
            let at = error.instance_path().as_str();
            let at = if at.is_empty() { String::new() } else { format!(" at {at}") };
            format!("is not a schema of draft 2020-12{at}: {}", cut(error.masked().to_string()))
        })?;
        let document = bundle(schema, &base, &neighbours.read.lock().unwrap_or_else(PoisonError::into_inner));
        let version = short_hash(&[document.to_string().as_bytes()], 4);
        Ok(Self(Arc::new(Compiled { path: written.to_owned(), document, version, validator })))
    }
}

impl BodyFault {
    fn of(error: &ValidationError<'_>) -> Self {
        let mut pointer = error.instance_path().as_str().to_owned();
        while pointer.len() > LONGEST {
            // Still a pointer: to what is around the place.
            pointer.truncate(pointer.rfind('/').unwrap_or_default());
        }
        Self { pointer, detail: cut(error.masked().to_string()) }
    }
}

/// Reads the schemas that a schema refers to, from its own folder.
struct Neighbours {
    folder: PathBuf,
    sources: Arc<Sources>,
    /// What was read, by address.
    read: Mutex<BTreeMap<String, Value>>,
}

struct Shared(Arc<Neighbours>);

impl Retrieve for Shared {
    fn retrieve(&self, uri: &Uri<String>) -> Result<Value, Box<dyn Error + Send + Sync>> {
        let Some(path) = uri.as_str().strip_prefix(BASE) else {
            return Err(
                "a schema may refer only to files below the folder of the routes file; leave out $id".into(),
            );
        };
        let value = read(&self.0.folder, path, &self.0.sources)?;
        self.0.read.lock().unwrap_or_else(PoisonError::into_inner).insert(uri.to_string(), value.clone());
        Ok(value)
    }
}

/// One schema with its neighbours in `$defs`, by their paths: each `$ref` in it starts with `#`.
fn bundle(mut schema: Value, base: &str, neighbours: &BTreeMap<String, Value>) -> Value {
    localize(&mut schema, base, base);
    for (address, neighbour) in neighbours {
        let mut neighbour = neighbour.clone();
        localize(&mut neighbour, address, base);
        if let Some(map) = neighbour.as_object_mut() {
            map.remove("$schema");
        }
        schema["$defs"][address.trim_start_matches(BASE)] = neighbour;
    }
    schema
}

/// Makes the references of a schema at the address `own` point into the document at `base`.
fn localize(value: &mut Value, own: &str, base: &str) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                match (key.as_str(), value) {
                    ("$ref", Value::String(reference)) => *reference = local(reference, own, base),
                    (_, value) => localize(value, own, base),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| localize(item, own, base)),
        _ => {}
    }
}

fn local(reference: &str, own: &str, base: &str) -> String {
    let Ok(target) = Url::parse(own).and_then(|own| own.join(reference)) else { return reference.to_owned() };
    let fragment = target.fragment().unwrap_or_default();
    let address = target.as_str().split('#').next().unwrap_or_default();
    match address.strip_prefix(BASE) {
        Some(path) if address != base => format!("#/$defs/{}{fragment}", path.replace('/', "~1")),
        _ => format!("#{fragment}"),
    }
}

fn read(folder: &Path, written: &str, sources: &Sources) -> Result<Value, String> {
    let text = sources.read(&below(folder, written)?, Use::Rules)?;
    let schema: Value = serde_json::from_str(&text).map_err(|error| format!("must be JSON: {error}"))?;
    match schema.get("$schema") {
        Some(draft) if draft.as_str().is_none_or(|draft| draft.trim_end_matches('#') != DRAFT) => {
            Err(format!("must be of draft 2020-12: write \"$schema\": \"{DRAFT}\", or leave it out"))
        }
        _ => Ok(schema),
    }
}

/// How deep arrays and objects of `json` are nested. It is right for JSON, and some number for other bytes.
fn depth(json: &[u8]) -> usize {
    let (mut depth, mut deepest, mut in_text, mut escaped) = (0usize, 0, false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'[' | b'{' if !in_text => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

fn cut(mut text: String) -> String {
    if text.len() > LONGEST {
        let end = (0..=LONGEST).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default();
        text.truncate(end);
        text.push('…');
    }
    text
}

impl fmt::Debug for BodySchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("BodySchema").field(&self.0.path).finish()
    }
}

impl PartialEq for BodySchema {
    fn eq(&self, other: &Self) -> bool {
        self.0.path == other.0.path && self.0.document == other.0.document
    }
}
