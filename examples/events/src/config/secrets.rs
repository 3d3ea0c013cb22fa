//! Secrets come from a file or a variable, never from a default.

use std::path::PathBuf;

use service::config::ConfigError;

use super::{ApiSettings, Switch};
use crate::auth::{LONGEST_PASSWORD, SigningKeys};

/// The shortest password of an account, in characters.
const SHORTEST_PASSWORD: usize = 12;

impl ApiSettings {
    /// The signing keys, or `None` if no caller needs a token.
    ///
    /// # Errors
    /// There are none, or they break a rule.
    pub fn signing_keys(&self) -> Result<Option<SigningKeys>, ConfigError> {
        if self.events_auth == Switch::Off {
            return Ok(None);
        }
        let (variable, shown, text) = secret(
            ("EVENTS_JWT_KEYS", &self.events_jwt_keys),
            ("EVENTS_JWT_KEYS_FILE", &self.events_jwt_keys_file),
        )?;
        let Some(text) = text else {
            let rule = "needs the keys that sign tokens in EVENTS_JWT_KEYS_FILE or EVENTS_JWT_KEYS, such as main: and the output of openssl rand -hex 32";
            return Err(ConfigError::rule("EVENTS_AUTH", "on", rule));
        };
        SigningKeys::parse(&text).map(Some).map_err(|rule| ConfigError::rule(variable, shown, rule))
    }

    /// The password of the account `admin`, if one is set.
    ///
    /// # Errors
    /// It is too short or too long, or its file cannot be read.
    pub fn admin_password(&self) -> Result<Option<String>, ConfigError> {
        let (variable, shown, text) = secret(
            ("EVENTS_ADMIN_PASSWORD", &self.events_admin_password),
            ("EVENTS_ADMIN_PASSWORD_FILE", &self.events_admin_password_file),
        )?;
        let Some(text) = text else { return Ok(None) };
        let password = text.trim_end_matches(['\r', '\n']).to_owned();
        check_password(&password).map_err(|rule| ConfigError::rule(variable, shown, rule))?;
        Ok(Some(password))
    }
}

/// Checks the length of a new password.
///
/// # Errors
/// It is too short or too long.
pub fn check_password(password: &str) -> Result<(), String> {
    match password.chars().count() >= SHORTEST_PASSWORD && password.len() <= LONGEST_PASSWORD {
        true => Ok(()),
        false => Err(format!(
            "must have at least {SHORTEST_PASSWORD} characters and at most {LONGEST_PASSWORD} bytes"
        )),
    }
}

/// A secret from a variable or a file: the variable that has it, its value as a message may show it, and the secret.
fn secret(
    (variable, value): (&'static str, &Option<String>),
    (file_variable, file): (&'static str, &Option<PathBuf>),
) -> Result<(&'static str, String, Option<String>), ConfigError> {
    match (value, file) {
        (Some(_), Some(path)) => {
            let rule = format!("and {variable} are both set: set one of them");
            Err(ConfigError::rule(file_variable, path.display(), rule))
        }
        (None, Some(path)) => match std::fs::read_to_string(path) {
            Ok(text) => Ok((file_variable, path.display().to_string(), Some(text))),
            Err(error) => {
                Err(ConfigError::rule(file_variable, path.display(), format!("cannot be read: {error}")))
            }
        },
        (value, None) => Ok((variable, "***".to_owned(), value.clone())),
    }
}
