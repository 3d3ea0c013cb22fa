//! The command line. A value that breaks a rule is refused with the flag, the value and the rule.

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;
use std::time::Duration;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Parser, ValueEnum};
use reqwest::Url;
use reqwest::header::HeaderValue;

/// Sends forecast requests to a gateway, checks the answers and reports latencies.
#[derive(Debug, Clone, Parser)]
#[command(version)]
pub struct Options {
    /// The gateway's address.
    #[arg(long, default_value = "http://127.0.0.1:5009", value_parser = base_url)]
    pub url: Url,

    /// One request after the other, or several at once.
    #[arg(long, value_enum, default_value = "concurrent")]
    pub mode: Mode,

    /// How many requests to send.
    #[arg(long, default_value = "100", value_parser = at_least_one)]
    pub count: NonZeroU64,

    /// How many requests to keep in flight (concurrent mode only).
    #[arg(long, default_value = "10", value_parser = at_least_one)]
    pub concurrency: NonZeroU64,

    /// How long to wait for each answer.
    #[arg(long, default_value = "30s")]
    pub timeout: Timeout,

    /// API key, for a gateway that asks for one.
    #[arg(long, env = "API_KEY", hide_env_values = true, value_parser = secret_header)]
    pub api_key: Option<HeaderValue>,

    /// How to print the report.
    #[arg(long, value_enum, default_value = "text")]
    pub output: Output,
}

/// How requests follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// The next one leaves when the last one is answered.
    Sequential,
    /// `--concurrency` of them are in flight all the time.
    Concurrent,
}

/// Who reads the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// A person.
    Text,
    /// A program.
    Json,
}

/// Why there are no options to run with.
#[derive(Debug)]
pub enum Refusal {
    /// Help or the version was asked for: print it, exit 0.
    Help(clap::Error),
    /// An argument is wrong; the text says which and why.
    Invalid(String),
}

impl Options {
    /// Reads the arguments, the program's name first.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub fn read(
        args: impl IntoIterator<Item = impl Into<std::ffi::OsString> + Clone>,
    ) -> Result<Self, Refusal> {
        Self::try_parse_from(args).map_err(|error| match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Refusal::Help(error),
            _ => Refusal::Invalid(explain(&error)),
        })
    }

    /// How many callers this load needs: no more than there are requests.
    pub fn callers(&self) -> u64 {
        match self.mode {
            Mode::Sequential => 1,
            Mode::Concurrent => self.concurrency.min(self.count).get(),
        }
    }
}

/// How long to wait for an answer; longer than zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeout(pub Duration);

impl FromStr for Timeout {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse::<jiff::SignedDuration>()
            .ok()
            .and_then(|span| Duration::try_from(span).ok())
            .filter(|span| !span.is_zero())
            .map(Self)
            .ok_or_else(|| "must be a duration above zero with its unit, such as 500ms or 30s".to_owned())
    }
}

impl fmt::Display for Timeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

fn at_least_one(text: &str) -> Result<NonZeroU64, String> {
    text.parse().map_err(|_| "must be a whole number of at least 1".to_owned())
}

/// Marked as sensitive, so that no `Debug` shows it.
fn secret_header(text: &str) -> Result<HeaderValue, String> {
    let mut value = HeaderValue::try_from(text).map_err(|_| "must be what a header can carry".to_owned())?;
    value.set_sensitive(true);
    Ok(value)
}

fn base_url(text: &str) -> Result<Url, String> {
    let rule = || "must be an address such as http://127.0.0.1:5009".to_owned();
    let url: Url = text.parse().map_err(|_| rule())?;
    let plain = matches!(url.scheme(), "http" | "https") && url.query().is_none() && url.fragment().is_none();
    if plain { Ok(url) } else { Err(rule()) }
}

fn explain(error: &clap::Error) -> String {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    let (Some(flag), Some(value)) = (text(ContextKind::InvalidArg), text(ContextKind::InvalidValue)) else {
        let text = error.to_string();
        let first = text.lines().next().unwrap_or_default().trim_start_matches("error: ");
        return format!("invalid arguments: {first} (see --help)");
    };
    let flag = flag.split([' ', '=']).next().unwrap_or(flag);
    let value = if flag == "--api-key" { "***" } else { value };
    let rule = match (std::error::Error::source(error), error.get(ContextKind::ValidValue)) {
        (_, Some(ContextValue::Strings(allowed))) if !allowed.is_empty() => {
            format!("must be one of {}", allowed.join(", "))
        }
        (Some(source), _) => source.to_string(),
        _ => "is not valid (see --help)".to_owned(),
    };
    format!("invalid arguments: {flag}={value} {rule}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(args: &[&str]) -> Result<Options, String> {
        let args = std::iter::once("loadtest").chain(args.iter().copied());
        Options::read(args).map_err(|refusal| match refusal {
            Refusal::Invalid(message) => message,
            Refusal::Help(help) => help.to_string(),
        })
    }

    #[test]
    fn what_is_wrong_is_named_with_flag_value_and_rule() {
        let whole = "must be a whole number of at least 1";
        let cases = [
            (["--count", "0"], format!("--count=0 {whole}")),
            (["--concurrency", "many"], format!("--concurrency=many {whole}")),
            (
                ["--timeout", "30"],
                "--timeout=30 must be a duration above zero with its unit, such as 500ms or 30s".into(),
            ),
            (
                ["--url", "localhost"],
                "--url=localhost must be an address such as http://127.0.0.1:5009".into(),
            ),
            (["--mode", "fast"], "--mode=fast must be one of sequential, concurrent".into()),
        ];

        for (args, message) in cases {
            assert_eq!(read(&args).expect_err(&message), format!("invalid arguments: {message}"));
        }
    }

    #[test]
    fn an_api_key_is_not_shown() {
        let options = read(&["--api-key", "hunter2"]).expect("valid");
        let refused = read(&["--api-key", "hunter2\n"]).expect_err("no header");

        assert!(!format!("{options:?}").contains("hunter2"));
        assert_eq!(refused, "invalid arguments: --api-key=*** must be what a header can carry");
    }

    #[test]
    fn an_unknown_flag_is_named() {
        assert!(read(&["--fast"]).expect_err("unknown").contains("'--fast'"));
    }

    #[test]
    fn no_more_callers_than_requests() {
        let callers = |args: &[&str]| read(args).expect("valid").callers();

        assert_eq!(callers(&["--count", "3", "--concurrency", "8"]), 3);
        assert_eq!(callers(&["--count", "30", "--concurrency", "8"]), 8);
        assert_eq!(callers(&["--mode", "sequential", "--concurrency", "8"]), 1);
    }
}
