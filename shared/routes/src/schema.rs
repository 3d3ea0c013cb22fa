//! The JSON Schema of a body (draft 2020-12), compiled when the routes are loaded.

use std::fmt;
use std::sync::Arc;

use jsonschema::Validator;
use serde_json::Value;

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

    /// The schema for other readers, such as an OpenAPI document. The schemas that it refers to are in its `$defs`.
    pub fn document(&self) -> &Value {
        &self.0.document
    }

    /// Checks a body. A byte order mark in front is ignored.
    ///
    /// # Errors
    /// At most [`Self::MOST_FAULTS`] faults: the body is not JSON, is nested too deeply, or breaks the schema.
    pub fn check(&self, body: &[u8]) -> Result<(), Vec<BodyFault>> {
        let fault = |detail: String| vec![BodyFault { pointer: String::new(), detail }];
        let value: Value =
            serde_json::from_slice(body).map_err(|error| fault(format!("is not JSON: {error}")))?;
        let faults: Vec<BodyFault> = self
            .0
            .validator
            .iter_errors(&value)
            .take(Self::MOST_FAULTS)
            .map(|error| BodyFault {
                pointer: error.instance_path().as_str().to_owned(),
                detail: error.masked().to_string(),
            })
            .collect();
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }
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
