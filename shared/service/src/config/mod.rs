//! Reads the configuration: a flag wins over a variable, a variable over the default. All settings
//! are checked before a port is bound.
//!
//! A binary declares its settings with clap (`#[arg(long, env, default_value = …)]`) and calls
//! [`read`]. If a setting is wrong, one message names the variable, the value and the rule, and the
//! process exits with [`EXIT_INVALID`].

mod common;
mod explain;
mod human_duration;
#[cfg(feature = "otlp")]
mod tracing;
pub mod value;

use std::ffi::OsString;
use std::fmt;

use clap::Parser;
use clap::error::ErrorKind;

pub use common::{GroupArgs, ProcessArgs, RedisArgs, StreamArgs};
pub use human_duration::{DurationRange, HumanDuration};
#[cfg(feature = "otlp")]
pub use tracing::{SamplerName, TracingArgs};

/// `EX_USAGE` of sysexits.h: the configuration is wrong, so a restart does not help.
pub const EXIT_INVALID: i32 = 64;

/// Why the configuration was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid configuration: {0}")]
pub struct ConfigError(String);

impl ConfigError {
    /// The `value` of `variable` breaks `rule`, a phrase such as "must be at least 1".
    pub fn rule(variable: &str, value: impl fmt::Display, rule: impl fmt::Display) -> Self {
        Self(format!("{variable}={value} {rule}"))
    }
}

/// Settings with rules that span several values.
pub trait Settings: Parser {
    /// Checks the rules that need more than one value.
    ///
    /// # Errors
    /// The first rule that the settings break.
    fn validate(&self) -> Result<(), ConfigError>;
}

/// Reads and checks the settings of this process. With `--help` or `--version` it prints the text and
/// exits with 0. If a setting is invalid, it prints one message and exits with [`EXIT_INVALID`].
pub fn read<S: Settings>() -> S {
    match from_args(std::env::args_os()) {
        Ok(settings) => settings,
        Err(Refusal::Help(text)) => {
            let _ = text.print();
            std::process::exit(0);
        }
        Err(Refusal::Invalid(error)) => {
            crate::logs::print_error(error);
            std::process::exit(EXIT_INVALID);
        }
    }
}

/// Why [`from_args`] returns no settings.
#[derive(Debug)]
pub enum Refusal {
    /// The arguments ask for the help or the version: print it and exit with 0.
    Help(clap::Error),
    /// A setting is invalid.
    Invalid(ConfigError),
}

/// Reads and checks settings from explicit arguments and the environment.
///
/// # Errors
/// See [`Refusal`].
pub fn from_args<S: Settings>(
    args: impl IntoIterator<Item = impl Into<OsString> + Clone>,
) -> Result<S, Refusal> {
    let args: Vec<OsString> = args.into_iter().map(Into::into).collect();
    let settings = S::try_parse_from(&args).map_err(|error| match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Refusal::Help(error),
        _ => {
            let command = S::command();
            let used = args.iter().skip(1).find_map(|arg| command.find_subcommand(arg));
            Refusal::Invalid(explain::explain(&command, used, &error))
        }
    })?;
    settings.validate().map_err(Refusal::Invalid)?;
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Parser)]
    struct Example {
        #[arg(long, env = "EXAMPLE_TIMEOUT", default_value = "30s")]
        timeout: HumanDuration,
        #[arg(long, env = "EXAMPLE_URL", hide_env_values = true, default_value = "1")]
        url: u8,
        #[arg(long, env = "EXAMPLE_THREADS", default_value = "1", value_parser = value::count(1u16..=256))]
        threads: u16,
        #[arg(long)]
        quick: bool,
    }

    impl Settings for Example {
        fn validate(&self) -> Result<(), ConfigError> {
            if self.timeout.0.is_zero() {
                return Err(ConfigError::rule("EXAMPLE_TIMEOUT", self.timeout, "must be longer than 0"));
            }
            Ok(())
        }
    }

    fn message(args: &[&str]) -> String {
        match from_args::<Example>(args.iter().map(|a| (*a).to_owned())) {
            Err(Refusal::Invalid(error)) => error.to_string(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_message_names_variable_value_and_rule() {
        assert_eq!(
            message(&["x", "--timeout", "soon"]),
            "invalid configuration: EXAMPLE_TIMEOUT=soon must be a duration with its unit, such as 500ms, 30s or 5m"
        );
        assert_eq!(
            message(&["x", "--timeout", "0s"]),
            "invalid configuration: EXAMPLE_TIMEOUT=0s must be longer than 0"
        );
    }

    #[test]
    fn a_message_does_not_repeat_a_secret_value() {
        let text = message(&["x", "--url", "redis://:hunter2@host"]);

        assert!(text.contains("EXAMPLE_URL=***") && !text.contains("hunter2"), "{text}");
    }

    #[test]
    fn a_message_does_not_repeat_a_misplaced_argument() {
        const SECRET: &str = "redis://:hunter2@host:6379";
        const NOT_UNDERSTOOD: &str = "an argument is not understood: settings are flags such as --name value";
        let with_equals = |flag: &str| format!("{flag}={SECRET}");

        for (args, expected) in [
            (&[SECRET][..], NOT_UNDERSTOOD),
            (&["-xhunter2"], NOT_UNDERSTOOD),
            (&["--threads", "1", "hunter2"], NOT_UNDERSTOOD),
            (&[&with_equals("--ulr")], "there is no flag --ulr"),
            (&["--ulr", SECRET], "there is no flag --ulr"),
            (&[&with_equals("--quick")], "--quick takes no value"),
            (&["--url", "1", "--url", SECRET], "--url is given more than once"),
        ] {
            let text = message(&[&["x"], args].concat());
            assert_eq!(text, format!("invalid configuration: {expected} (see --help)"), "{args:?}");
        }
    }

    #[derive(Debug, Parser)]
    #[command(name = "x")]
    struct Positional {
        /// How many
        #[arg(value_name = "COUNT", value_parser = value::count(1u16..=256))]
        count: u16,
    }

    impl Settings for Positional {
        fn validate(&self) -> Result<(), ConfigError> {
            Ok(())
        }
    }

    #[test]
    fn a_message_names_a_positional_argument_without_its_value() {
        for (args, expected) in [
            (&["x"][..], "COUNT is missing in `x COUNT`: How many"),
            (&["x", "hunter2"], "<COUNT> must be a whole number from 1 to 256"),
        ] {
            match from_args::<Positional>(args.iter().copied()) {
                Err(Refusal::Invalid(error)) => {
                    assert_eq!(error.to_string(), format!("invalid configuration: {expected} (see --help)"));
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn a_message_names_a_flag_that_has_no_value() {
        for flag in ["--threads", "--timeout", "--url"] {
            let text = message(&["x", flag]);
            assert_eq!(text, format!("invalid configuration: {flag} needs a value (see --help)"));
        }
    }

    #[derive(Debug, Parser)]
    struct Commands {
        #[command(subcommand)]
        command: OneCommand,
    }

    #[derive(Debug, clap::Subcommand)]
    enum OneCommand {
        Other {
            #[arg(long, env = "OTHER_THREADS")]
            threads: u8,
        },
        Run(Example),
    }

    impl Settings for Commands {
        fn validate(&self) -> Result<(), ConfigError> {
            match &self.command {
                OneCommand::Run(example) => example.validate(),
                OneCommand::Other { threads } => panic!("{threads}"),
            }
        }
    }

    #[test]
    fn a_message_names_the_variable_of_a_subcommand() {
        for (flag, value, expected) in [
            ("--threads", "0", "EXAMPLE_THREADS=0 must be a whole number from 1 to 256"),
            ("--url", "hunter2", "EXAMPLE_URL=*** invalid digit found in string"),
        ] {
            match from_args::<Commands>(["x", "run", flag, value]) {
                Err(Refusal::Invalid(error)) => {
                    assert_eq!(error.to_string(), format!("invalid configuration: {expected}"));
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_message_does_not_repeat_an_argument_that_is_not_utf_8() {
        use std::ffi::OsString;
        use std::os::unix::ffi::OsStringExt;

        let args = ["x".into(), "--timeout".into(), OsString::from_vec(b"hunter2\xff".to_vec())];

        match from_args::<Example>(args) {
            Err(Refusal::Invalid(error)) => {
                let text = error.to_string();
                assert_eq!(text, "invalid configuration: an argument is not text in UTF-8 (see --help)");
            }
            other => panic!("{other:?}"),
        }
    }
}
