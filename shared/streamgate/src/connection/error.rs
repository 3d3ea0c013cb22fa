use std::fmt;

use redis::{RedisError, ServerError, Value};

/// A failed command, with the kind that decides what to do about it.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{kind}: {message}")]
pub struct Error {
    kind: ErrorKind,
    message: String,
}

/// What a failure means. The policies are those of `docs/OPERATIONS.md`, "Redis errors".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// No connection, a dropped one, or no response in time: connect anew and try again. The
    /// command may have been executed.
    Unreachable,
    /// Wrong or missing credentials: try again slowly, say so loudly.
    Denied,
    /// A replica answered (READONLY, MASTERDOWN): connect anew, to find the primary.
    NotPrimary,
    /// The server is up but not serving yet (LOADING, BUSY, CLUSTERDOWN, TRYAGAIN): try again.
    NotServing,
    /// The server refuses writes for now (OOM, MISCONF, NOREPLICAS): nothing was stored.
    RefusesWrites,
    /// The consumer group is gone (NOGROUP): recreate it.
    NoGroup,
    /// A blocked read was ended by the server (UNBLOCKED): read again.
    Unblocked,
    /// The server does not know this script (NOSCRIPT): send its source.
    NoScript,
    /// The command itself is refused (WRONGTYPE, ERR …): trying again will not help.
    Refused,
}

impl Error {
    /// An error of `kind`.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// An answer whose shape this client does not understand.
    pub(crate) fn unexpected(command: &str, value: &Value) -> Self {
        let shape: String = format!("{value:?}").chars().take(120).collect();
        Self::new(ErrorKind::Refused, format!("unexpected answer to {command}: {shape}"))
    }

    /// What to do about it.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// True if the same command may work later.
    pub fn is_transient(&self) -> bool {
        self.kind != ErrorKind::Refused
    }

    /// True if the command may be sent again at once on another connection: the trouble was
    /// the connection or the node, not the command.
    pub fn is_about_the_connection(&self) -> bool {
        matches!(
            self.kind,
            ErrorKind::Unreachable | ErrorKind::Denied | ErrorKind::NotPrimary | ErrorKind::NotServing
        )
    }

    fn from_code(code: &str, message: String) -> Self {
        let kind = match code {
            "READONLY" | "MASTERDOWN" => ErrorKind::NotPrimary,
            "LOADING" | "BUSY" | "CLUSTERDOWN" | "TRYAGAIN" => ErrorKind::NotServing,
            "OOM" | "MISCONF" | "NOREPLICAS" => ErrorKind::RefusesWrites,
            "NOGROUP" => ErrorKind::NoGroup,
            "UNBLOCKED" => ErrorKind::Unblocked,
            "NOSCRIPT" => ErrorKind::NoScript,
            "NOAUTH" | "WRONGPASS" | "NOPERM" => ErrorKind::Denied,
            _ => ErrorKind::Refused,
        };
        Self::new(kind, message)
    }
}

impl From<&ServerError> for Error {
    fn from(error: &ServerError) -> Self {
        let code = error.code();
        Self::from_code(code, format!("{code} {}", error.details().unwrap_or_default()))
    }
}

impl From<RedisError> for Error {
    fn from(error: RedisError) -> Self {
        if let Some(code) = error.code() {
            return Self::from_code(code, format!("{code} {}", error.detail().unwrap_or_default()));
        }
        let kind = match error.kind() {
            redis::ErrorKind::AuthenticationFailed => ErrorKind::Denied,
            redis::ErrorKind::UnexpectedReturnType
            | redis::ErrorKind::Client
            | redis::ErrorKind::InvalidClientConfig => ErrorKind::Refused,
            _ => ErrorKind::Unreachable,
        };
        Self::new(kind, error.to_string())
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Self::new(ErrorKind::Unreachable, error.to_string())
    }
}

impl From<deadpool_redis::PoolError> for Error {
    fn from(error: deadpool_redis::PoolError) -> Self {
        match error {
            deadpool_redis::PoolError::Backend(error) => error.into(),
            other => Self::new(ErrorKind::Unreachable, other.to_string()),
        }
    }
}

/// One result of a pipeline: the value, or the error that stands in its place.
///
/// # Errors
/// The server answered this command with an error.
pub fn checked(value: Value) -> Result<Value, Error> {
    match value {
        Value::ServerError(error) => Err(Error::from(&error)),
        value => Ok(value),
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unreachable => "Redis cannot be reached",
            Self::Denied => "Redis denies access",
            Self::NotPrimary => "this Redis is not the primary",
            Self::NotServing => "Redis is not serving yet",
            Self::RefusesWrites => "Redis refuses writes",
            Self::NoGroup => "the consumer group is gone",
            Self::Unblocked => "the blocked read was ended",
            Self::NoScript => "the script is unknown",
            Self::Refused => "Redis refuses the command",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_its_policy() {
        let kind = |code| Error::from_code(code, String::new()).kind();

        assert_eq!(kind("READONLY"), ErrorKind::NotPrimary);
        assert_eq!(kind("LOADING"), ErrorKind::NotServing);
        assert_eq!(kind("OOM"), ErrorKind::RefusesWrites);
        assert_eq!(kind("NOGROUP"), ErrorKind::NoGroup);
        assert_eq!(kind("WRONGTYPE"), ErrorKind::Refused);
        assert!(!Error::from_code("WRONGTYPE", String::new()).is_transient());
    }
}
