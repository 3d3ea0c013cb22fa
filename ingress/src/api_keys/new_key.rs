//! `ingress new-key NAME`: makes a key and the line for API_KEYS_FILE.

use std::io::{self, Write};

use service::api_key::NewKey;
use service::config::ConfigError;

use super::file::{KeyLine, name_of};
use super::limit::{Limit, Rate};

/// The name of the key, and how often it may be used.
#[derive(Debug, Clone, clap::Args)]
pub struct NewKeyArgs {
    /// Name of the key in metrics and logs, 1 to 64 characters of A-Z a-z 0-9 . _ -
    #[arg(value_name = "NAME", value_parser = name_of)]
    name: String,

    /// Requests a second, such as 50, or a minute or hour: 50/m, 50/h [default: none, no limit]
    #[arg(long, value_name = "RATE", value_parser = |text: &str| Rate::parse(text).map(|_| text.to_owned()))]
    rate: Option<String>,

    /// Requests that may come at once after a pause [default: the number in RATE]
    #[arg(long, value_name = "COUNT")]
    burst: Option<String>,
}

impl NewKeyArgs {
    /// Checks the rules that need more than one value.
    ///
    /// # Errors
    /// The first rule that the arguments break.
    pub fn validate(&self) -> Result<(), ConfigError> {
        match (&self.rate, &self.burst) {
            (None, Some(burst)) => Err(ConfigError::rule("--burst", burst, "needs a --rate")),
            (Some(rate), burst) => Limit::parse(rate, burst.as_deref())
                .map(|_| ())
                .map_err(|rule| ConfigError::rule("--burst", burst.as_deref().unwrap_or_default(), rule)),
            (None, None) => Ok(()),
        }
    }

    /// Writes the line to `line` and the key to `key`.
    ///
    /// # Errors
    /// The random source of the system fails, or a write fails.
    pub fn run(&self, mut line: impl Write, mut key: impl Write) -> io::Result<()> {
        let new = NewKey::mint().map_err(io::Error::other)?;
        let limit = self.rate.as_deref().map(|rate| Limit::parse(rate, self.burst.as_deref()));
        let limit = limit.transpose().map_err(io::Error::other)?;
        writeln!(line, "{}", KeyLine { name: self.name.clone(), hash: new.hash(), limit })?;
        line.flush()?;
        writeln!(key, "The key, which is shown only once:\n{new}")
    }
}
