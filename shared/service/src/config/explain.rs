use std::error::Error;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command};

use super::ConfigError;

/// Turns an error of clap into a [`ConfigError`]. clap names the flag, but operators set the variable,
/// so the message names the variable.
///
/// It repeats no text of clap: clap quotes the arguments, and one of them may be a misplaced password.
///
/// `used` is the subcommand that the arguments name, if any.
pub(super) fn explain(command: &Command, used: Option<&Command>, error: &clap::Error) -> ConfigError {
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    let flag = context(ContextKind::InvalidArg).and_then(flag_name);
    let see_help = |text: String| ConfigError(format!("{text} (see --help)"));
    match (error.kind(), flag) {
        (ErrorKind::InvalidUtf8, _) => see_help(not_utf8(command, used)),
        (ErrorKind::MissingRequiredArgument, _) => see_help(match error.get(ContextKind::InvalidArg) {
            Some(ContextValue::Strings(missing)) => is_missing(command, missing),
            _ => "an argument is missing".to_owned(),
        }),
        (ErrorKind::ValueValidation, None) => {
            // A positional argument: its name is ours, but its value may be a secret.
            let name = context(ContextKind::InvalidArg).unwrap_or("an argument");
            let rule = error.source().map_or("is not valid".to_owned(), ToString::to_string);
            see_help(format!("{name} {rule}"))
        }
        (ErrorKind::UnknownArgument, Some(flag)) => see_help(format!("there is no flag {flag}")),
        (ErrorKind::TooManyValues, Some(flag)) => see_help(format!("{flag} takes no value")),
        (ErrorKind::ArgumentConflict, Some(flag)) => see_help(format!("{flag} is given more than once")),
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
            let argument = arguments_of(command, used).find(|a| a.get_long() == flag.strip_prefix("--"));
            let variable = argument.and_then(Arg::get_env).and_then(|name| name.to_str()).unwrap_or(flag);
            let secret = argument.is_some_and(Arg::is_hide_env_values_set);
            ConfigError::rule(variable, if secret { "***" } else { value }, rule)
        }
        _ => see_help("an argument is not understood: settings are flags such as --name value".to_owned()),
    }
}

/// The arguments of the subcommand and of the command itself.
fn arguments_of<'a>(command: &'a Command, used: Option<&'a Command>) -> impl Iterator<Item = &'a Arg> {
    used.into_iter().chain([command]).flat_map(Command::get_arguments)
}

/// Says where a missing argument belongs and what it is, in the words of the help.
fn is_missing(command: &Command, missing: &[String]) -> String {
    let [shown] = missing else { return format!("{} are missing", missing.join(" ")) };
    let name = shown.trim_matches(['<', '>']);
    let program = command.get_name();
    let under = command.get_subcommands().map(|sub| (format!("{program} {}", sub.get_name()), sub));
    let mut homes =
        std::iter::once((program.to_owned(), command)).chain(under).filter_map(|(place, command)| {
            let argument = command.get_positionals().find(|argument| argument.to_string() == *shown)?;
            Some((place, argument.get_help()))
        });
    match (homes.next(), homes.next()) {
        (Some((place, Some(help))), None) => format!("{name} is missing in `{place} {name}`: {help}"),
        _ => format!("{shown} is missing"),
    }
}

/// The name of the flag in an argument such as `--name`, `--name <VALUE>` or `--name=value`. `None`
/// if the argument is not a flag: a value, which may be a secret, must not be taken for a flag.
fn flag_name(argument: &str) -> Option<&str> {
    let end = argument.find([' ', '=']).unwrap_or(argument.len());
    let name = &argument[..end];
    name.strip_prefix("--").filter(|rest| !rest.is_empty()).map(|_| name)
}

/// clap does not say which value is not UTF-8, so this reads the variables again.
fn not_utf8(command: &Command, used: Option<&Command>) -> String {
    let broken =
        |name: &&std::ffi::OsStr| std::env::var_os(name).is_some_and(|value| value.to_str().is_none());
    match arguments_of(command, used).filter_map(Arg::get_env).find(broken) {
        Some(variable) => format!("{} is not text in UTF-8", variable.to_string_lossy()),
        None => "an argument is not text in UTF-8".to_owned(),
    }
}
