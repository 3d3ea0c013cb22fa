use std::error::Error;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command};

use super::ConfigError;

/// What clap refused, in the words of who deploys: clap names the flag, they set the variable.
///
/// Nothing of clap's own text is passed on: it repeats what was typed, and a password that went
/// astray is as secret as one in its place.
pub(super) fn explain(command: &Command, error: &clap::Error) -> ConfigError {
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    let flag = context(ContextKind::InvalidArg).and_then(flag_name);
    let see_help = |text: String| ConfigError(format!("{text} (see --help)"));
    match (error.kind(), flag) {
        (ErrorKind::InvalidUtf8, _) => see_help(not_utf8(command)),
        (ErrorKind::MissingRequiredArgument, _) => see_help(match error.get(ContextKind::InvalidArg) {
            Some(ContextValue::Strings(missing)) => format!("{} is missing", missing.join(" ")),
            _ => "an argument is missing".to_owned(),
        }),
        (ErrorKind::ValueValidation, None) => {
            // An argument by its place, named by us; its value may be anything.
            let name = context(ContextKind::InvalidArg).unwrap_or("an argument");
            let rule = error.source().map_or("is not valid".to_owned(), ToString::to_string);
            see_help(format!("{name} {rule}"))
        }
        (ErrorKind::UnknownArgument, Some(flag)) => see_help(format!("there is no {flag}")),
        (ErrorKind::TooManyValues, Some(flag)) => see_help(format!("{flag} takes no such value")),
        (ErrorKind::ArgumentConflict, Some(flag)) => see_help(format!("{flag} is there more than once")),
        (ErrorKind::InvalidValue | ErrorKind::ValueValidation, Some(flag)) => {
            let value = context(ContextKind::InvalidValue).unwrap_or_default();
            let allowed = match error.get(ContextKind::ValidValue) {
                Some(ContextValue::Strings(allowed)) => allowed.as_slice(),
                _ => &[],
            };
            let rule = match (error.source(), allowed) {
                (Some(source), _) => source.to_string(),
                (None, []) if value.is_empty() => return see_help(format!("{flag} needs a value")),
                (None, []) => "is not valid (see --help)".to_owned(),
                (None, allowed) => format!("must be one of {}", allowed.join(", ")),
            };
            let argument = command.get_arguments().find(|a| a.get_long() == flag.strip_prefix("--"));
            let variable = argument.and_then(Arg::get_env).and_then(|name| name.to_str()).unwrap_or(flag);
            let secret = argument.is_some_and(Arg::is_hide_env_values_set);
            ConfigError::rule(variable, if secret { "***" } else { value }, rule)
        }
        _ => see_help("an argument is not understood: settings are flags such as --name value".to_owned()),
    }
}

/// The name of the flag in an argument, as in `--name`, `--name <VALUE>` and `--name=value`; `None`
/// if it is no flag, so that a value is never taken for one.
fn flag_name(argument: &str) -> Option<&str> {
    let end = argument.find([' ', '=']).unwrap_or(argument.len());
    let name = &argument[..end];
    name.strip_prefix("--").filter(|rest| !rest.is_empty()).map(|_| name)
}

/// clap does not say where it found the value, but a variable can be looked at again.
fn not_utf8(command: &Command) -> String {
    let broken =
        |name: &&std::ffi::OsStr| std::env::var_os(name).is_some_and(|value| value.to_str().is_none());
    match command.get_arguments().filter_map(Arg::get_env).find(broken) {
        Some(variable) => format!("{} is not text in UTF-8", variable.to_string_lossy()),
        None => "an argument is not text in UTF-8".to_owned(),
    }
}
