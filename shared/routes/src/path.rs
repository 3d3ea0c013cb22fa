//! The pattern of a path: `/orders/{customer}`, `/files/{*rest}`.

use std::fmt;
use std::str::FromStr;

/// The longest pattern, in bytes.
const LONGEST: usize = 512;

/// The parameters of a path by name, each as it stands in the path: percent-encoded.
pub type PathParams<'r, 'p> = Vec<(&'r str, &'p str)>;

/// A pattern of paths. A segment is literal, or a parameter `{name}` that stands for one segment that is not empty. The
/// last one may be `{*name}`, which stands for the rest of the path, at least one byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathPattern {
    text: String,
    segments: Vec<Segment>,
}

/// One part of a pattern, between two slashes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Segment {
    /// These bytes, compared as they are sent.
    Literal(String),
    /// One segment.
    Param(String),
    /// All that follows.
    Rest(String),
}

impl PathPattern {
    /// The pattern `/`.
    pub fn root() -> Self {
        Self { text: "/".to_owned(), segments: vec![Segment::Literal(String::new())] }
    }

    /// The pattern as the file has it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The segments, in order.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The names of the parameters, in order.
    pub fn params(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().filter_map(|segment| match segment {
            Segment::Literal(_) => None,
            Segment::Param(name) | Segment::Rest(name) => Some(name.as_str()),
        })
    }

    /// True if the pattern stands for `path`. [`crate::Routes::find`] decides between several that do.
    pub fn matches(&self, path: &str) -> bool {
        let Some(mut left) = path.strip_prefix('/').map(Some) else { return false };
        for segment in &self.segments {
            let Some(rest) = left else { return false };
            let (first, after) = match rest.split_once('/') {
                Some((first, after)) => (first, Some(after)),
                None => (rest, None),
            };
            match segment {
                Segment::Literal(text) if text == first => left = after,
                Segment::Param(_) if !first.is_empty() => left = after,
                Segment::Rest(_) => return !rest.is_empty(),
                _ => return false,
            }
        }
        left.is_none()
    }

    /// The pattern with the same meaning whose parameters are named by their position. Two patterns that match the
    /// same paths are equal in this form.
    pub(crate) fn shape(&self) -> String {
        let mut shape = String::with_capacity(self.text.len());
        for (position, segment) in self.segments.iter().enumerate() {
            match segment {
                Segment::Literal(text) => shape.extend(["/", text]),
                Segment::Param(_) => shape.push_str(&format!("/{{{position}}}")),
                Segment::Rest(_) => shape.push_str(&format!("/{{*{position}}}")),
            }
        }
        shape
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Why a text is not a pattern: a phrase such as "must start with /".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidPath(String);

impl FromStr for PathPattern {
    type Err = InvalidPath;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = |rule: &str| Err(InvalidPath(rule.to_owned()));
        if text.len() > LONGEST {
            return Err(InvalidPath(format!("must have at most {LONGEST} bytes")));
        }
        let Some(inner) = text.strip_prefix('/') else { return refuse("must start with /") };
        let segments: Vec<Segment> = inner.split('/').map(segment).collect::<Result<_, _>>()?;
        if let [before @ .., _] = &segments[..]
            && before.iter().any(|segment| matches!(segment, Segment::Rest(_)))
        {
            return refuse("must have {*rest} at its end only");
        }
        let pattern = Self { text: text.to_owned(), segments };
        let names: Vec<&str> = pattern.params().collect();
        match names.iter().enumerate().find(|(at, name)| names[..*at].contains(name)) {
            Some(_) => refuse("must not name a parameter twice"),
            None => Ok(pattern),
        }
    }
}

fn segment(text: &str) -> Result<Segment, InvalidPath> {
    let is_name = |name: &str| {
        (1..=64).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
            && !name.starts_with(|c: char| c.is_ascii_digit())
    };
    if let Some(name) = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')) {
        return match name.strip_prefix('*') {
            Some(rest) if is_name(rest) => Ok(Segment::Rest(rest.to_owned())),
            None if is_name(name) => Ok(Segment::Param(name.to_owned())),
            _ => Err(InvalidPath(
                "must name its parameters with letters, digits and _, such as {id}".to_owned(),
            )),
        };
    }
    if text.contains(['{', '}']) {
        return Err(InvalidPath("must have each parameter as a whole segment, such as /{id}".to_owned()));
    }
    if matches!(text, "." | "..") {
        return Err(InvalidPath("must not have the segments . and .., which clients resolve".to_owned()));
    }
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@%".contains(&b);
    match text.bytes().all(allowed) {
        true => Ok(Segment::Literal(text.to_owned())),
        false => Err(InvalidPath(
            "must have only characters of a path: others percent-encoded, no query".to_owned(),
        )),
    }
}
