//! The commands about a routes file: `check`, `explain`, `diff`, `openapi`, `schema`.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use ::routes::{Faults, Routes};
use anyhow::Context;
use http::Method;

/// A command about a routes file. It starts nothing and asks nobody.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum RoutesCommand {
    /// Check a routes file: prints every fault with its line, and ends with 1 if there is one
    Check {
        /// The file
        file: PathBuf,
    },
    /// Tell what happens to a request: its route, its rules and who answers it
    Explain {
        /// The file
        file: PathBuf,
        /// The method, such as POST
        method: Method,
        /// The path, with or without a query
        path: String,
    },
    /// Tell what differs between two routes files
    Diff {
        /// The file before
        old: PathBuf,
        /// The file after
        new: PathBuf,
    },
    /// Print the OpenAPI document of a routes file
    Openapi {
        /// The file
        file: PathBuf,
    },
    /// Print the JSON Schema of routes files, for editors
    Schema,
}

impl RoutesCommand {
    /// Runs the command. `keys` says whether the gateway has a file of API keys.
    ///
    /// # Errors
    /// A file has faults, or a write fails.
    pub fn run(&self, mut out: impl Write, keys: bool) -> anyhow::Result<()> {
        match self {
            Self::Check { file } => {
                let routes = load(file)?;
                writeln!(
                    out,
                    "{}: {} routes, version {}",
                    file.display(),
                    routes.routes.len(),
                    routes.version
                )?;
            }
            Self::Explain { file, method, path } => {
                write!(out, "{}", load(file)?.explain(method, path))?;
            }
            Self::Diff { old, new } => {
                for difference in routes::diff(&load(old)?, &load(new)?) {
                    writeln!(out, "{difference}")?;
                }
            }
            Self::Openapi { file } => {
                print(&mut out, &crate::openapi::routes::document(&load(file)?, keys))?;
            }
            Self::Schema => print(&mut out, &routes::json_schema())?,
        }
        out.flush().context("the output cannot be written")
    }
}

fn load(file: &Path) -> Result<Routes, Faults> {
    Routes::load(file)
}

fn print(out: &mut impl Write, document: &serde_json::Value) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, document)?;
    writeln!(out)
}
