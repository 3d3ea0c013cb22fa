//! What is wrong with a routes file.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::file::node::Place;

/// One fault. It prints as `routes.yaml:14:9 timeout: "30" has no unit; write 30s`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The file.
    pub file: PathBuf,
    /// Line and column, from 1. `None` if the fault is that of the whole file.
    pub place: Option<(usize, usize)>,
    /// What is wrong and what would be right. It repeats no value of a variable or of another file.
    pub message: String,
}

impl Fault {
    /// A fault of a whole file.
    pub fn of_file(file: &Path, message: impl Into<String>) -> Self {
        Self { file: file.to_owned(), place: None, message: message.into() }
    }

    pub(crate) fn at(file: &Path, at: Place, message: String) -> Self {
        Self { file: file.to_owned(), place: Some((at.line, at.column)), message }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some((line, column)) = self.place {
            write!(f, ":{line}:{column}")?;
        }
        write!(f, " {}", self.message)
    }
}

/// Everything that is wrong with a file; at least one fault. It prints one fault per line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults(Vec<Fault>);

impl Faults {
    pub(crate) fn new(faults: Vec<Fault>) -> Self {
        Self(faults)
    }

    /// The faults, in the order of the lines.
    pub fn iter(&self) -> std::slice::Iter<'_, Fault> {
        self.0.iter()
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl std::error::Error for Faults {}
