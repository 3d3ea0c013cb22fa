//! The command line. A value that breaks a rule is refused with the flag, the value and the rule.

use std::num::NonZeroU64;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Parser, ValueEnum};
use reqwest::Url;
use reqwest::header::HeaderValue;

use crate::corpus::Corpus;
pub use crate::quantity::{PositiveDuration, Rate, Ratio};

/// How many requests are sent without `--count` and `--duration`.
const DEFAULT_COUNT: u64 = 100;

/// Sends forecast requests to a gateway, checks the answers and reports latencies.
#[derive(Debug, Clone, Parser)]
#[command(version)]
pub struct Options {
    /// The gateway's address.
    #[arg(long, default_value = "http://127.0.0.1:5009", value_parser = base_url)]
    pub url: Url,

    /// One request after the other, several at once, or a fixed number per second.
    #[arg(long, value_enum, default_value = "concurrent")]
    pub mode: Mode,

    /// How many requests to send [default: 100, or as many as fit --duration].
    #[arg(long, value_parser = at_least_one)]
    pub count: Option<NonZeroU64>,

    /// How many requests to keep in flight (concurrent mode only).
    #[arg(long, default_value = "10", value_parser = at_least_one)]
    pub concurrency: NonZeroU64,

    /// How many requests to send a second, answered or not (rate mode only).
    #[arg(long, required_if_eq("mode", "rate"))]
    pub rate: Option<Rate>,

    /// How long to send requests; with --count, the load ends with the limit that is reached first.
    #[arg(long)]
    pub duration: Option<PositiveDuration>,

    /// How long to wait for each answer.
    #[arg(long, default_value = "30s")]
    pub timeout: PositiveDuration,

    /// A file of JSON bodies to send in turn, such as one a line [default: forecasts for 20 cities].
    #[arg(long, value_name = "FILE", value_parser = |path: &str| Corpus::read(path))]
    pub body_file: Option<Corpus>,

    /// Longest useful latency: goodput counts the right answers within this duration.
    #[arg(long)]
    pub deadline: Option<PositiveDuration>,

    /// The part of the requests that may fail, such as 0.01 or 1%; if more fail, the exit code is 1.
    #[arg(long, default_value = "0")]
    pub max_error_rate: Ratio,

    /// Bound for the latency of 99 % of the right answers; if they take longer, the exit code is 1.
    #[arg(long)]
    pub p99_under: Option<PositiveDuration>,

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
    /// `--rate` of them leave each second, whether or not earlier ones are answered.
    Rate,
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
    /// The user wants help or the version: print it and exit with 0.
    Help(clap::Error),
    /// An argument is wrong; the text names the argument and the rule.
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
        let options = Self::try_parse_from(args).map_err(|error| match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Refusal::Help(error),
            _ => Refusal::Invalid(explain(&error)),
        })?;
        match (options.mode, options.rate) {
            (Mode::Sequential | Mode::Concurrent, Some(rate)) => {
                Err(Refusal::Invalid(format!("invalid arguments: --rate={rate} needs --mode rate")))
            }
            _ => Ok(options),
        }
    }

    /// The most requests that the load sends, if the options limit them.
    pub fn requests(&self) -> Option<u64> {
        let count = self.count.map(NonZeroU64::get);
        let fitting = self.duration.and_then(|duration| match self.mode {
            Mode::Rate => self.rate.map(|rate| rate.times(duration.0)),
            Mode::Sequential | Mode::Concurrent => None,
        });
        match (count, fitting) {
            (Some(count), Some(fitting)) => Some(count.min(fitting)),
            (None, None) if self.duration.is_none() => Some(DEFAULT_COUNT),
            (count, fitting) => count.or(fitting),
        }
    }

    /// How many callers a closed loop needs: no more than there are requests.
    pub fn callers(&self) -> u64 {
        match self.mode {
            Mode::Sequential => 1,
            Mode::Concurrent | Mode::Rate => self.concurrency.get().min(self.requests().unwrap_or(u64::MAX)),
        }
    }
}

fn at_least_one(text: &str) -> Result<NonZeroU64, String> {
    text.parse().map_err(|_| "must be a whole number of at least 1".to_owned())
}

/// Marked as sensitive, so that no `Debug` shows it.
fn secret_header(text: &str) -> Result<HeaderValue, String> {
    let mut value = HeaderValue::try_from(text).map_err(|_| "must be a valid header value".to_owned())?;
    value.set_sensitive(true);
    Ok(value)
}

fn base_url(text: &str) -> Result<Url, String> {
    let rule = || "must be an address such as http://127.0.0.1:5009".to_owned();
    let url: Url = text.parse().map_err(|_| rule())?;
    let plain = matches!(url.scheme(), "http" | "https") && url.query().is_none() && url.fragment().is_none();
    if plain && url.port() != Some(0) { Ok(url) } else { Err(rule()) }
}

fn explain(error: &clap::Error) -> String {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    if error.kind() == ErrorKind::MissingRequiredArgument {
        return "invalid arguments: --mode=rate needs --rate, such as --rate 100".to_owned();
    }
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
    fn an_invalid_argument_is_named_with_flag_value_and_rule() {
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
            (
                ["--url", "http://127.0.0.1:0"],
                "--url=http://127.0.0.1:0 must be an address such as http://127.0.0.1:5009".into(),
            ),
            (["--rate", "0"], "--rate=0 must be requests per second, a number above zero such as 500".into()),
            (["--rate", "5"], "--rate=5 needs --mode rate".into()),
            (
                ["--max-error-rate", "2"],
                "--max-error-rate=2 must be a part of all requests, such as 0.01 or 1%".into(),
            ),
            (["--mode", "fast"], "--mode=fast must be one of sequential, concurrent, rate".into()),
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
        assert_eq!(refused, "invalid arguments: --api-key=*** must be a valid header value");
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

    #[test]
    fn rate_mode_needs_a_rate() {
        let refusal = read(&["--mode", "rate"]).expect_err("no rate");

        assert_eq!(refusal, "invalid arguments: --mode=rate needs --rate, such as --rate 100");
    }

    #[test]
    fn the_load_ends_with_its_count_or_its_duration() {
        let requests = |args: &[&str]| read(args).expect("valid").requests();
        let rate = |more: &[&str]| requests(&[&["--mode", "rate", "--rate", "50"], more].concat());

        assert_eq!(requests(&[]), Some(100));
        assert_eq!(requests(&["--duration", "3s"]), None);
        assert_eq!(requests(&["--duration", "3s", "--count", "7"]), Some(7));
        assert_eq!(rate(&[]), Some(100));
        assert_eq!(rate(&["--duration", "3s"]), Some(150));
        assert_eq!(rate(&["--duration", "3s", "--count", "70"]), Some(70));
        assert_eq!(rate(&["--duration", "3s", "--count", "700"]), Some(150));
    }
}
