use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::connection::{Error, RetryLog};
use crate::stream::{ConsumerGroup, Retention, Trimmer};

/// How often a reader trims its stream.
const PERIOD: Duration = Duration::from_secs(5);

/// Trims finished entries and removes consumers that died long ago, until `stop`. Any number of readers may do this at
/// the same time.
pub(super) async fn keep_short(group: ConsumerGroup, retention: Retention, stop: CancellationToken) {
    let trimmer = Trimmer::new(group.redis().clone(), group.settings().stream.clone(), retention);
    let mut outage = RetryLog::new("housekeeping");
    loop {
        match trim_and_reap(&group, &trimmer).await {
            Ok(()) => outage.healed(),
            Err(error) => drop(outage.failed(&error)),
        }
        let pause = PERIOD.mul_f64(rand::random_range(0.75..1.25));
        tokio::select! {
            () = stop.cancelled() => return,
            () = group.trim_is_due() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

async fn trim_and_reap(group: &ConsumerGroup, trimmer: &Trimmer) -> Result<(), Error> {
    let trimmed = trimmer.trim().await?;
    group.metrics().trimmed.increment(trimmed.removed);
    for consumer in group.reap().await? {
        tracing::info!(consumer, "removed a consumer that was silent for long and held no entries");
    }
    Ok(())
}
