//! `ingress new-key NAME`: makes a key and the line for API_KEYS_FILE.

use std::io::{self, Write};

use service::api_key::{KeyHash, NewKey};
use service::config::ConfigError;

use super::file::{KeyLine, name_of, scope_of};
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

    /// What the key may do on routes that demand a scope, separated by commas [default: none]
    #[arg(long, value_name = "SCOPES", value_delimiter = ',', value_parser = scope_of)]
    scopes: Vec<String>,

    /// Priority of its requests: high, normal or low [default: that of the route]
    #[arg(long, value_name = "PRIORITY")]
    priority: Option<String>,

    /// Requests that may wait at once in one ingress [default: API_KEY_MAX_WAITING]
    #[arg(long, value_name = "COUNT")]
    waiting: Option<String>,
}

impl NewKeyArgs {
    /// Checks the rules that need more than one value.
    ///
    /// # Errors
    /// The first rule that the arguments break.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let mut scratch = KeyLine::new(String::new(), KeyHash::of(b""), None);
        for (option, value) in self.options() {
            let set = scratch.set(&format!("{option}={value}"));
            set.map_err(|rule| ConfigError::rule(&format!("--{option}"), value, rule))?;
        }
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
        let mut key_line = KeyLine::new(self.name.clone(), new.hash(), limit);
        key_line.scopes.clone_from(&self.scopes);
        for (option, value) in self.options() {
            key_line.set(&format!("{option}={value}")).map_err(io::Error::other)?;
        }
        writeln!(line, "{key_line}")?;
        line.flush()?;
        writeln!(key, "The key, which is shown only once:\n{new}")
    }

    /// The options that have one value.
    fn options(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let priority = self.priority.as_deref().map(|priority| ("priority", priority));
        priority.into_iter().chain(self.waiting.as_deref().map(|waiting| ("waiting", waiting)))
    }
}
