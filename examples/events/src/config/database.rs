use std::fmt;
use std::str::FromStr;

use clap::{Args, ValueEnum};
use service::config::{ConfigError, HumanDuration};

/// The database.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Database")]
pub struct DatabaseArgs {
    /// Database: sqlite:PATH or postgres://USER:PASSWORD@HOST/DATABASE
    #[arg(
        long,
        env = "DATABASE_URL",
        default_value = "sqlite:events.db",
        hide_env_values = true,
        value_name = "URL"
    )]
    pub database_url: DatabaseUrl,

    /// Longest wait for the database, a duration
    #[arg(long, env = "EVENTS_DATABASE_TIMEOUT", default_value = "5s", value_name = "DURATION")]
    pub events_database_timeout: HumanDuration,

    /// What a committed transaction of SQLite survives: `full` a power failure, `normal` the end of a process only
    #[arg(long, env = "EVENTS_SQLITE_SYNC", default_value = "full", value_enum)]
    pub events_sqlite_sync: SqliteSync,
}

/// What a committed transaction of SQLite survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SqliteSync {
    /// A power failure.
    Full,
    /// The end of a process.
    Normal,
}

/// Where the database is. Its text has no password.
#[derive(Clone, PartialEq, Eq)]
pub enum DatabaseUrl {
    /// A file of SQLite.
    Sqlite(String),
    /// A server of PostgreSQL.
    Postgres(String),
}

impl FromStr for DatabaseUrl {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(path) = text.strip_prefix("sqlite:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return match path.is_empty() || path.contains(['?', '\0']) {
                true => Err("must name a file, such as sqlite:events.db"),
                false => Ok(Self::Sqlite(path.to_owned())),
            };
        }
        match text.starts_with("postgres://") || text.starts_with("postgresql://") {
            true => Ok(Self::Postgres(text.to_owned())),
            false => Err("must be sqlite:PATH or postgres://USER:PASSWORD@HOST/DATABASE"),
        }
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:{path}"),
            Self::Postgres(url) => {
                let rest = url.split_once("://").map_or("", |(_, rest)| rest);
                let place = rest.rsplit_once('@').map_or(rest, |(_, place)| place);
                write!(f, "postgres://{}", place.split('?').next().unwrap_or_default())
            }
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl DatabaseArgs {
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        match self.events_database_timeout.0.is_zero() {
            true => Err(ConfigError::rule("EVENTS_DATABASE_TIMEOUT", "0s", "must be longer than 0")),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_shown_without_its_credentials() {
        for (url, shown) in [
            ("sqlite:events.db", "sqlite:events.db"),
            ("sqlite:///var/lib/events.db", "sqlite:/var/lib/events.db"),
            ("postgres://ada:secret@host:5432/events?password=secret", "postgres://host:5432/events"),
            ("postgresql://host/events", "postgres://host/events"),
        ] {
            let url: DatabaseUrl = url.parse().expect(url);
            assert_eq!((url.to_string().as_str(), format!("{url:?}").as_str()), (shown, shown));
        }
        for bad in ["", "events.db", "sqlite:", "mysql://host/x", "sqlite:a?mode=memory"] {
            assert!(bad.parse::<DatabaseUrl>().is_err(), "{bad}");
        }
    }
}
