//! Reads a routes file: text → [`node`] (YAML, TOML) → [`section`] (the tables of [`keys`]) → [`build`] (routes).

mod build;
mod interpolate;
mod json_schema;
mod keys;
pub(crate) mod node;
mod rules;
mod section;
pub(crate) mod sources;
mod toml;
pub(crate) mod units;
mod upstreams;
mod yaml;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

pub use json_schema::{json_schema, reference};

use crate::fault::{Fault, Faults};
use crate::route::Route;
use crate::upstream::Upstream;
use interpolate::Values;
use node::{Node, SyntaxError};
use section::Reader;
use sources::{Sources, Use};

/// The most faults that are reported of one file.
const MOST_FAULTS: usize = 500;

/// What a file says.
pub(crate) struct Loaded {
    pub(crate) routes: Vec<Route>,
    pub(crate) upstreams: BTreeMap<String, Arc<Upstream>>,
}

/// Reads the file at `path`. `sources` learns which files were read, also if there are faults.
pub(crate) fn load(
    path: &Path,
    env: &dyn Fn(&str) -> Option<String>,
    sources: &Arc<Sources>,
) -> Result<Loaded, Faults> {
    let text =
        sources.read(path, Use::Rules).map_err(|rule| Faults::new(vec![Fault::of_file(path, rule)]))?;
    let is_toml = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("toml"));
    let parsed = parse(&text, is_toml);
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let mut reader = Reader { values: Values { env, folder, sources }, faults: Vec::new() };
    let loaded = match parsed {
        Ok(node) => Some(build::build(&node, folder, sources, &mut reader)),
        Err((at, message)) => {
            reader.fault(at, message);
            None
        }
    };
    let mut faults = reader.faults;
    match loaded {
        Some(loaded) if faults.is_empty() => Ok(loaded),
        _ => {
            faults.sort();
            // An alias repeats a value, and with it the faults of the value.
            faults.dedup();
            let more = faults.len().saturating_sub(MOST_FAULTS);
            faults.truncate(MOST_FAULTS);
            let mut all: Vec<Fault> =
                faults.into_iter().map(|(at, message)| Fault::at(path, at, message)).collect();
            if more > 0 {
                all.push(Fault::of_file(path, format!("has {more} more faults")));
            }
            Err(Faults::new(all))
        }
    }
}

fn parse(text: &str, is_toml: bool) -> Result<Node, SyntaxError> {
    // Some editors write a byte order mark at the start of a file.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if is_toml { toml::parse(text) } else { yaml::parse(text) }
}
