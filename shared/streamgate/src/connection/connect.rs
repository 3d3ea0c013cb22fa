use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::client::{Redis, RedisSettings};
use super::error::{Error, ErrorKind};
use super::heartbeat;
use super::{ConnectionMetrics, RedisUrl};
use crate::resilience::Backoff;
use crate::telemetry::{Latch, Readiness};

impl Redis {
    /// Connects to the server at `url` and waits for its first answer, at most two seconds. Everything else has a
    /// default; [`Redis::builder`] changes it.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), streamgate::connection::ConnectError> {
    /// use streamgate::connection::Redis;
    ///
    /// let redis = Redis::connect("redis://127.0.0.1:6379").await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The server gave no good answer. Nothing goes on in the background then.
    pub async fn connect(url: &str) -> Result<Self, ConnectError> {
        Self::builder().url(url).connect().await
    }

    /// A connection whose settings can be changed.
    pub fn builder() -> RedisBuilder {
        RedisBuilder::default()
    }
}

/// Settings of a [`Redis`] handle, each with a default.
///
/// ```no_run
/// # async fn example() -> Result<(), streamgate::connection::ConnectError> {
/// use std::time::Duration;
///
/// use streamgate::connection::Redis;
/// use streamgate::telemetry::Readiness;
///
/// let readiness = Readiness::default();
/// let redis = Redis::builder()
///     .url("redis://127.0.0.1:6379")
///     .response_timeout(Duration::from_secs(3))
///     .readiness(readiness.latch("redis"))
///     .connect()
///     .await?;
/// # Ok(())
/// # }
/// ```
#[must_use]
pub struct RedisBuilder {
    url: String,
    response_timeout: Duration,
    connect_timeout: Duration,
    reachable: Option<Latch>,
    metrics: Option<ConnectionMetrics>,
}

/// The longest wait for a connection, and for each answer.
const TIMEOUT: Duration = Duration::from_secs(1);

/// Bounds of the pause between two tries to connect.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(200));

impl Default for RedisBuilder {
    fn default() -> Self {
        Self {
            url: "redis://127.0.0.1:6379".to_owned(),
            response_timeout: TIMEOUT,
            connect_timeout: TIMEOUT,
            reachable: None,
            metrics: None,
        }
    }
}

impl RedisBuilder {
    /// The server; the default is `redis://127.0.0.1:6379`. See [`RedisUrl`] for the forms.
    pub fn url(self, url: &str) -> Self {
        Self { url: url.to_owned(), ..self }
    }

    /// The longest wait for the answer to a command, more than zero; the default is one second. A network that needs
    /// longer for the largest entry needs a longer time.
    pub fn response_timeout(self, timeout: Duration) -> Self {
        Self { response_timeout: timeout, ..self }
    }

    /// The longest wait for a connection, handshake included, more than zero; the default is one second.
    pub fn connect_timeout(self, timeout: Duration) -> Self {
        Self { connect_timeout: timeout, ..self }
    }

    /// A latch that is set while the server answers. By default, nothing shows it but
    /// [`Redis::round_trip`].
    pub fn readiness(self, latch: Latch) -> Self {
        Self { reachable: Some(latch), ..self }
    }

    /// The metrics of the connections. By default, they are declared on the current recorder.
    pub fn metrics(self, metrics: ConnectionMetrics) -> Self {
        Self { metrics: Some(metrics), ..self }
    }

    /// Connects and waits for the first answer of the server. During the connect timeout and the response timeout
    /// together it tries again if nobody answers or if the server is about to serve.
    ///
    /// # Errors
    /// [`ConnectError`] says what is wrong and what to do. Nothing goes on in the background then.
    pub async fn connect(self) -> Result<Redis, ConnectError> {
        let (settings, metrics, reachable) = self.checked()?;
        let address = settings.url.to_string();
        let patience = settings.connect_timeout.saturating_add(settings.response_timeout);
        let failed = |error| ConnectError::of(address, patience, error);
        let stop = CancellationToken::new();
        let redis = match Redis::new(settings, metrics, stop.clone().drop_guard()) {
            Ok(redis) => redis,
            Err(error) => return Err(failed(error)),
        };
        if let Err(error) = first_answer(&redis, patience).await {
            return Err(failed(error));
        }
        reachable.set(true);
        heartbeat::spawn(&redis, reachable, stop);
        Ok(redis)
    }

    /// Prepares the handle without an answer, for a process that may start before its server: the handle connects in
    /// the background, and goes on to try.
    ///
    /// # Errors
    /// The settings cannot be used.
    pub fn open(self) -> Result<Redis, ConnectError> {
        let (settings, metrics, reachable) = self.checked()?;
        let (address, patience) = (settings.url.to_string(), settings.connect_timeout);
        Redis::open(settings, metrics, reachable).map_err(|error| ConnectError::of(address, patience, error))
    }

    fn checked(self) -> Result<(RedisSettings, ConnectionMetrics, Latch), ConnectError> {
        let url: RedisUrl = self.url.parse().map_err(|rule| ConnectError::InvalidUrl { rule })?;
        url.check_trust().map_err(|error| ConnectError::NoCertificates { message: error.to_string() })?;
        for (name, timeout) in
            [("response timeout", self.response_timeout), ("connect timeout", self.connect_timeout)]
        {
            if timeout.is_zero() {
                return Err(ConnectError::InvalidTimeout { name });
            }
        }
        let settings = RedisSettings {
            response_timeout: self.response_timeout,
            connect_timeout: self.connect_timeout,
            ..RedisSettings::new(url)
        };
        let metrics = self.metrics.unwrap_or_else(ConnectionMetrics::declare);
        Ok((settings, metrics, self.reachable.unwrap_or_else(|| Readiness::default().latch("redis"))))
    }
}

/// Waits for the first good answer.
async fn first_answer(redis: &Redis, patience: Duration) -> Result<(), Error> {
    let mut last = None;
    let trying = async {
        let mut backoff = Backoff::new(PAUSES.0, PAUSES.1);
        loop {
            match redis.first_beat().await {
                Err(error) if may_pass(&error) => last = Some(error),
                answer => return answer,
            }
            tokio::time::sleep(backoff.next_delay()).await;
        }
    };
    let answer = tokio::time::timeout(patience, trying).await;
    answer.unwrap_or_else(|_| {
        Err(last.unwrap_or_else(|| Error::new(ErrorKind::Unreachable, "it did not answer in time")))
    })
}

/// True if the server may be about to serve.
fn may_pass(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Unreachable | ErrorKind::NotServing | ErrorKind::NotPrimary)
}

/// Why [`Redis::connect`] failed. No text contains the URL's password.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ConnectError {
    /// The URL has another form, or names something that cannot be used.
    #[error("the Redis URL {rule}")]
    InvalidUrl {
        /// The rule that it breaks.
        rule: &'static str,
    },
    /// A timeout is zero.
    #[error("the {name} must be more than zero: leave it out, and it is one second")]
    InvalidTimeout {
        /// Which one.
        name: &'static str,
    },
    /// The URL asks for TLS, and this machine trusts no certificate.
    #[error(
        "TLS cannot be used, because no server can be verified ({message}): install the package ca-certificates, or name a file of trusted certificates in SSL_CERT_FILE"
    )]
    NoCertificates {
        /// What the search for certificates found.
        message: String,
    },
    /// Nobody answered in time.
    #[error(
        "no Redis answered at {address} within {waited:?} ({source}): check that the server runs and that the URL has its host, port and TLS; if this process may start before its server, use `Redis::builder().open()`"
    )]
    Unreachable {
        /// The address.
        address: String,
        /// How long it was tried.
        waited: Duration,
        /// The last failure.
        #[source]
        source: Error,
    },
    /// User or password are wrong or missing.
    #[error("Redis at {address} denies access ({source}): check the user and the password in the URL")]
    Denied {
        /// The address.
        address: String,
        /// The answer.
        #[source]
        source: Error,
    },
    /// The user may not run TIME, which every process needs.
    #[error(
        "Redis at {address} lets the user of the URL in but not run TIME ({source}): permit it, as in ACL SETUSER <user> +time"
    )]
    NotPermitted {
        /// The address.
        address: String,
        /// The answer.
        #[source]
        source: Error,
    },
    /// The server is a replica.
    #[error("Redis at {address} is not the primary ({source}): name the address of the primary")]
    NotPrimary {
        /// The address.
        address: String,
        /// The answer.
        #[source]
        source: Error,
    },
    /// The server answers, but serves no commands yet.
    #[error(
        "Redis at {address} did not serve within {waited:?} ({source}): wait until it has loaded its data, and try again"
    )]
    NotServing {
        /// The address.
        address: String,
        /// How long it was tried.
        waited: Duration,
        /// The last answer.
        #[source]
        source: Error,
    },
    /// The server refuses the connection as it is, for example because it has no such database.
    #[error("Redis at {address} refuses the connection ({source}): check the database in the URL")]
    Refused {
        /// The address.
        address: String,
        /// The answer.
        #[source]
        source: Error,
    },
}

impl ConnectError {
    fn of(address: String, waited: Duration, source: Error) -> Self {
        match source.kind() {
            ErrorKind::Unreachable => Self::Unreachable { address, waited, source },
            ErrorKind::NotServing => Self::NotServing { address, waited, source },
            ErrorKind::Denied => Self::Denied { address, source },
            ErrorKind::NotPermitted => Self::NotPermitted { address, source },
            ErrorKind::NotPrimary => Self::NotPrimary { address, source },
            _ => Self::Refused { address, source },
        }
    }
}
