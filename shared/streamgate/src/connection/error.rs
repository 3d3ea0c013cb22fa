use std::fmt;

use redis::{RedisError, ServerError, Value};

/// Why a command failed. Its kind decides how to react.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{kind}: {message}")]
pub struct Error {
    kind: ErrorKind,
    message: String,
}

/// What a failure means. The policies are those of `docs/OPERATIONS.md`, "Redis errors".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// No connection, a dropped one, or no response in time: connect again and send the command again. The
    /// command may have been executed.
    Unreachable,
    /// Wrong or missing credentials (NOAUTH, WRONGPASS): try again slowly and log it.
    Denied,
    /// The user may not run this command (NOPERM). The connection is good; the command works once
    /// an administrator grants the permission.
    NotPermitted,
    /// This node is not the primary for the key (READONLY, MASTERDOWN, MOVED): connect again, to find the primary.
    NotPrimary,
    /// The server runs but does not serve the command yet (LOADING, BUSY, CLUSTERDOWN, ASK): try again.
    NotServing,
    /// The server refuses writes for now (OOM, MISCONF, NOREPLICAS): nothing was stored.
    RefusesWrites,
    /// The consumer group is gone (NOGROUP): recreate it.
    NoGroup,
    /// A blocked read was ended by the server (UNBLOCKED): read again.
    Unblocked,
    /// The server does not know this script (NOSCRIPT): send its source.
    NoScript,
    /// The key holds another type than the command needs (WRONGTYPE): the command will not work until the key is
    /// renamed or deleted.
    WrongType,
    /// The command itself is refused (ERR …): the same command will never work.
    Refused,
}

impl Error {
    /// An error of `kind`.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// An error for an answer of an unexpected type.
    pub(crate) fn unexpected(command: &str, value: &Value) -> Self {
        let start: String = format!("{value:?}").chars().take(120).collect();
        Self::new(ErrorKind::Refused, format!("unexpected answer to {command}: {start}"))
    }

    /// The text from the server or the operating system.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// The kind, which decides how to react.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// True if the same command may work later.
    pub fn is_transient(&self) -> bool {
        !matches!(self.kind, ErrorKind::Refused | ErrorKind::WrongType)
    }

    /// True if the connection or the node caused the error, not the command: the command may be sent again on another
    /// connection.
    pub fn is_about_the_connection(&self) -> bool {
        matches!(
            self.kind,
            ErrorKind::Unreachable | ErrorKind::Denied | ErrorKind::NotPrimary | ErrorKind::NotServing
        )
    }

    /// True if the key has another type than the command needs.
    pub(super) fn is_about_the_type(&self) -> bool {
        self.kind == ErrorKind::WrongType
    }

    fn from_code(code: &str, message: String) -> Self {
        // If a script runs a denied command, the server reports an error of the script. Redis 7.0 and 7.2 have
        // different texts for it.
        let in_script = code == "ERR"
            && (message.contains("ACL failure in script")
                || message.contains("The user executing the script"));
        let known = POLICIES.iter().find(|(codes, _)| codes.contains(&code)).map(|(_, kind)| *kind);
        let kind = if in_script { ErrorKind::NotPermitted } else { known.unwrap_or(ErrorKind::Refused) };
        Self::new(kind, message)
    }
}

/// The kind of each error code of Redis 7.0 to 8.x and Valkey 9. An unknown code counts as
/// [`ErrorKind::Refused`].
const POLICIES: &[(&[&str], ErrorKind)] = &[
    (&["READONLY", "MASTERDOWN", "MOVED", "REDIRECT"], ErrorKind::NotPrimary),
    (
        &[
            "LOADING",
            "BUSY",
            "CLUSTERDOWN",
            "TRYAGAIN",
            "ASK",
            "INPROG",
            "NOTREADY",
            "IOERR",
            "NOMASTERLINK",
            "NOGOODSLAVE",
            "NOGOODPRIMARY",
            "NOQUORUM",
        ],
        ErrorKind::NotServing,
    ),
    (&["OOM", "MISCONF", "NOREPLICAS"], ErrorKind::RefusesWrites),
    (&["NOGROUP"], ErrorKind::NoGroup),
    (&["UNBLOCKED"], ErrorKind::Unblocked),
    (&["NOSCRIPT"], ErrorKind::NoScript),
    (&["NOAUTH", "WRONGPASS", "DENIED"], ErrorKind::Denied),
    (&["NOPERM"], ErrorKind::NotPermitted),
    (&["WRONGTYPE"], ErrorKind::WrongType),
    (
        &[
            "ERR",
            "CROSSSLOT",
            "BUSYGROUP",
            "BUSYKEY",
            "EXECABORT",
            "INVALIDOBJ",
            "NOPROTO",
            "NOTBUSY",
            "UNKILLABLE",
        ],
        ErrorKind::Refused,
    ),
];

impl From<&ServerError> for Error {
    fn from(error: &ServerError) -> Self {
        let code = error.code();
        Self::from_code(code, format!("{code} {}", error.details().unwrap_or_default()))
    }
}

impl From<RedisError> for Error {
    fn from(error: RedisError) -> Self {
        if let Some(code) = error.code() {
            // If one of several commands failed, its error has no detail, but its whole text contains the detail.
            let text = error.detail().map_or_else(|| error.to_string(), |detail| format!("{code} {detail}"));
            return Self::from_code(code, text);
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

/// Turns one value of a pipeline into a result: the value, or the error in its place.
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
            Self::NotPermitted => "Redis does not permit this command to the user",
            Self::NotPrimary => "this Redis is not the primary",
            Self::NotServing => "Redis is not serving yet",
            Self::RefusesWrites => "Redis refuses writes",
            Self::NoGroup => "the consumer group is gone",
            Self::Unblocked => "the blocked read was ended",
            Self::NoScript => "the script is unknown",
            Self::WrongType => {
                "the key is not of the type that the command needs; use another name, or rename or delete the key"
            }
            Self::Refused => "Redis refuses the command",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every error code in the sources of Redis 7.0 to 8.x and Valkey 9, with its kind.
    const CODES: &[(&str, ErrorKind)] = &[
        ("ASK", ErrorKind::NotServing),
        ("BUSY", ErrorKind::NotServing),
        ("BUSYGROUP", ErrorKind::Refused),
        ("BUSYKEY", ErrorKind::Refused),
        ("CLUSTERDOWN", ErrorKind::NotServing),
        ("CROSSSLOT", ErrorKind::Refused),
        ("DENIED", ErrorKind::Denied),
        ("ERR", ErrorKind::Refused),
        ("EXECABORT", ErrorKind::Refused),
        ("INPROG", ErrorKind::NotServing),
        ("INVALIDOBJ", ErrorKind::Refused),
        ("IOERR", ErrorKind::NotServing),
        ("LOADING", ErrorKind::NotServing),
        ("MASTERDOWN", ErrorKind::NotPrimary),
        ("MISCONF", ErrorKind::RefusesWrites),
        ("MOVED", ErrorKind::NotPrimary),
        ("NOAUTH", ErrorKind::Denied),
        ("NOGOODPRIMARY", ErrorKind::NotServing),
        ("NOGOODSLAVE", ErrorKind::NotServing),
        ("NOGROUP", ErrorKind::NoGroup),
        ("NOMASTERLINK", ErrorKind::NotServing),
        ("NOPERM", ErrorKind::NotPermitted),
        ("NOPROTO", ErrorKind::Refused),
        ("NOQUORUM", ErrorKind::NotServing),
        ("NOREPLICAS", ErrorKind::RefusesWrites),
        ("NOSCRIPT", ErrorKind::NoScript),
        ("NOTBUSY", ErrorKind::Refused),
        ("NOTREADY", ErrorKind::NotServing),
        ("OOM", ErrorKind::RefusesWrites),
        ("READONLY", ErrorKind::NotPrimary),
        ("REDIRECT", ErrorKind::NotPrimary),
        ("TRYAGAIN", ErrorKind::NotServing),
        ("UNBLOCKED", ErrorKind::Unblocked),
        ("UNKILLABLE", ErrorKind::Refused),
        ("WRONGPASS", ErrorKind::Denied),
        ("WRONGTYPE", ErrorKind::WrongType),
    ];

    /// The error made from a server's text. The text passes the client library, which has kinds of its own for some
    /// codes.
    fn answered(text: &str) -> Error {
        let value = redis::parse_redis_value(format!("-{text}\r\n").as_bytes()).expect("RESP2");
        checked(value).expect_err(text)
    }

    #[test]
    fn every_error_code_has_its_kind() {
        for (code, kind) in CODES {
            assert_eq!(answered(&format!("{code} some text")).kind(), *kind, "{code}");
            let listed = POLICIES.iter().any(|(codes, _)| codes.contains(code));
            assert!(listed, "{code} is not in POLICIES");
        }
        let policies = POLICIES.iter().map(|(codes, _)| codes.len()).sum::<usize>();
        assert_eq!(policies, CODES.len(), "a code is listed that no server writes");
    }

    #[test]
    fn every_error_is_transient_but_a_refused_command() {
        for (code, kind) in CODES {
            let refused = matches!(kind, ErrorKind::Refused | ErrorKind::WrongType);
            assert_eq!(answered(code).is_transient(), !refused, "{code}");
        }
        assert!(!answered("A-CODE-OF-2030 text").is_transient());
    }

    #[test]
    fn a_command_denied_in_a_script_is_not_permitted() {
        for text in [
            "ERR The user executing the script can't run this command or subcommand script: 84ca, on @user_script:1.",
            "ERR ACL failure in script: User u has no permissions to run the 'xclaim' command script: on 1.",
        ] {
            assert_eq!(answered(text).kind(), ErrorKind::NotPermitted, "{text}");
        }
        assert_eq!(answered("ERR unknown command 'X'").kind(), ErrorKind::Refused);
    }
}
