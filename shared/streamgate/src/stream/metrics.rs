use metrics::Counter;

use super::GroupSettings;
use crate::telemetry::Declare;

/// Metrics of one member of a consumer group.
#[derive(Clone)]
pub struct GroupMetrics {
    /// Deliveries after the first.
    pub redeliveries: Counter,
    /// Entries taken over from another consumer.
    pub claims: Counter,
    /// Pending entries that trimming had deleted: each is a loss.
    pub deleted: Counter,
    /// Leases that another consumer took over.
    pub lost_leases: Counter,
    /// Entries moved to the dead letters.
    pub dead_letters: Counter,
    /// Dead letters trimmed to bound their number.
    pub dead_letters_trimmed: Counter,
    /// Entries that Redis refused as dead letters.
    pub dead_letters_refused: Counter,
    /// Entries that a stopping worker gave back.
    pub handed_back: Counter,
    /// Entries whose next delivery was delayed.
    pub delayed: Counter,
    /// Consumer groups created again after they had vanished.
    pub group_recreations: Counter,
    /// Finished entries trimmed from the old end of the request stream.
    pub trimmed: Counter,
}

impl GroupMetrics {
    /// Declares them on the current recorder, with the labels stream and group.
    pub fn declare(settings: &GroupSettings) -> Self {
        let declare = Declare::labelled(&settings.labels());
        Self {
            redeliveries: declare
                .counter("streamgate_redeliveries_total", "Deliveries of an entry after its first"),
            claims: declare.counter(
                "streamgate_claims_total",
                "Entries claimed from a consumer after their lease had ended",
            ),
            deleted: declare.counter(
                "streamgate_deleted_pending_total",
                "Pending entries that had been deleted from the stream: each is a lost request",
            ),
            lost_leases: declare.counter(
                "streamgate_lost_leases_total",
                "Entries another consumer took while this one held them",
            ),
            dead_letters: declare
                .counter("streamgate_dead_letters_total", "Entries moved to the dead letters"),
            dead_letters_trimmed: declare.counter(
                "streamgate_dead_letters_trimmed_total",
                "Dead letters trimmed, unseen or not, to keep about DEAD_LETTERS_KEPT",
            ),
            dead_letters_refused: declare.counter(
                "streamgate_dead_letters_refused_total",
                "Entries that Redis refused as dead letters; they stay pending and are tried again",
            ),
            handed_back: declare.counter(
                "streamgate_handed_back_total",
                "Entries that a stopping worker gave back without finishing their work",
            ),
            delayed: declare
                .counter("streamgate_delayed_retries_total", "Entries whose next delivery was delayed"),
            group_recreations: declare.counter(
                "streamgate_group_recreations_total",
                "Consumer groups recreated after they had vanished",
            ),
            trimmed: declare.counter(
                "streamgate_trimmed_entries_total",
                "Finished entries that this worker trimmed from the old end of the request stream",
            ),
        }
    }
}
