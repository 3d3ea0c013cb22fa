use std::time::Duration;

use redis::Value;
use tokio::time::Instant;

use super::consumer::Found;
use super::{ConsumerGroup, LeasedEntry, Leases};
use crate::connection::{Error, ErrorKind, Script};

/// Delivers the entries of a group whose delay has ended.
///
/// An entry that is to be tried again later leaves the pending entries, so that nobody claims it meanwhile. It keeps
/// its id, and no other group sees the retry. Its time is that of the server's clock.
pub struct Delays {
    group: ConsumerGroup,
    leases: Leases,
    take_due: Script,
}

impl Delays {
    /// The delays of `group`; entries that are due are held in `leases`.
    pub fn new(group: ConsumerGroup, leases: Leases) -> Self {
        Self { group, leases, take_due: Script::new(include_str!("../scripts/take_due.lua")) }
    }

    /// Takes up to `most` entries that are due, each once; and how long it is until the next one is due, if one is
    /// delayed.
    ///
    /// # Errors
    /// The connection failed, or the server refused the command. If the answer was lost, this consumer has the entries
    /// and finds them among its own pending ones.
    pub async fn take_due(&self, most: usize) -> Result<(Vec<LeasedEntry>, Option<Duration>), Error> {
        let [delayed, delayed_ids] = self.group.delayed_keys();
        let count = most.to_string();
        let args = [self.group.name().as_bytes(), self.group.consumer().as_bytes(), count.as_bytes()];
        let keys = [self.group.stream(), delayed.as_str(), delayed_ids.as_str()];
        let sent = Instant::now();
        let found = match self.take_due.run(self.group.redis(), &keys, &args).await {
            Err(error) if error.kind() == ErrorKind::NoGroup => return Ok((Vec::new(), None)),
            answer => Found::from_value(answer?)?,
        };
        let next = match found.cursor {
            Value::Int(ms) => Some(Duration::from_millis(u64::try_from(ms).unwrap_or(0))),
            _ => None,
        };
        found.report_deleted(&self.group);
        Ok((found.deliver(&self.group, &self.leases, false, sent), next))
    }
}
