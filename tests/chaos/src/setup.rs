//! Names and settings of the system under test, which the harness and its checker share.

use std::time::Duration;

/// The stream of requests.
pub const REQUESTS: &str = "weather-requests";
/// The plain reply stream, on which lanes are named.
pub const REPLIES: &str = "weather-responses";
/// The workers' group.
pub const GROUP: &str = "weather-workers";
/// What Redis wants to hear, and nobody may read in a log.
pub const PASSWORD: &str = "hunter2-hunter2";

/// How long a caller waits.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(6);
/// The length of a lease.
pub const CLAIM_MIN_IDLE: Duration = Duration::from_millis(900);
/// Silent for longer counts as dead.
pub const CONSUMER_GRACE: Duration = Duration::from_secs(3);
/// Finished requests that are kept, about: few, so that trimming is at work all the time.
pub const RETENTION_ENTRIES: u64 = 500;
/// Dead letters that are kept, about.
pub const DEAD_LETTERS_KEPT: u64 = 200;

/// Where dead letters go.
pub fn dead_letters() -> String {
    format!("{{{REQUESTS}}}:dlq")
}

/// The lane of the gateway that has a name.
pub fn named_lane() -> String {
    format!("{REPLIES}.a")
}

/// Every stream there is.
pub fn streams() -> [String; 4] {
    [REQUESTS.to_owned(), REPLIES.to_owned(), named_lane(), dead_letters()]
}
