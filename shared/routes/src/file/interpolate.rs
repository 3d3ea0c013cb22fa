//! Values that come from elsewhere: `${NAME}`, `${NAME:-default}`, `${file:/run/secrets/key}`. `$$` is a dollar sign.

use std::path::Path;

use super::sources::{Sources, Use};

/// Where values come from.
pub(super) struct Values<'a> {
    /// The environment.
    pub(super) env: &'a dyn Fn(&str) -> Option<String>,
    /// A relative path of a file starts here.
    pub(super) folder: &'a Path,
    pub(super) sources: &'a Sources,
}

/// The text with its values put in.
///
/// # Errors
/// A phrase that names what is unknown, never a value.
pub(super) fn interpolate(text: &str, values: &Values<'_>) -> Result<String, String> {
    let mut result = String::with_capacity(text.len());
    let mut left = text;
    while let Some((before, after)) = left.split_once('$') {
        result.push_str(before);
        if let Some(after) = after.strip_prefix('$') {
            result.push('$');
            left = after;
            continue;
        }
        let Some(inner) = after.strip_prefix('{') else {
            return Err("has a lone $: write ${NAME} for a variable, or $$ for a dollar sign".to_owned());
        };
        let (name, after) = inner.split_once('}').ok_or("has ${ without its }")?;
        result.push_str(&value_of(name, values)?);
        left = after;
    }
    result.push_str(left);
    Ok(result)
}

fn value_of(name: &str, values: &Values<'_>) -> Result<String, String> {
    if let Some(path) = name.strip_prefix("file:") {
        let text = values.sources.read(&values.folder.join(path), Use::Secret);
        // An editor ends a file with a line break, which is not part of a secret.
        let text = text.map(|text| text.trim_end_matches(['\r', '\n']).to_owned());
        return text.map_err(|rule| format!("names the file {path}, which {rule}"));
    }
    let (name, default) = match name.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (name, None),
    };
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    if name.is_empty() || !name.bytes().all(allowed) || name.as_bytes()[0].is_ascii_digit() {
        return Err(format!("has ${{{name}}}: write ${{NAME}}, ${{NAME:-default}} or ${{file:PATH}}"));
    }
    match ((values.env)(name), default) {
        (Some(value), None) => Ok(value),
        (Some(value), Some(_)) if !value.is_empty() => Ok(value),
        (_, Some(default)) => Ok(default.to_owned()),
        (None, None) => {
            Err(format!("needs the variable {name}, which is not set; set it or write ${{{name}:-default}}"))
        }
    }
}
