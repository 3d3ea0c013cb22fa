//! What limits how many entries a worker takes, beside its own slots.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use crate::resilience::ConcurrencyLimit;

/// Limits how many entries a worker takes: it may pause the worker, or share slots among several workers.
///
/// While it grants nothing, the worker reads nothing and claims nothing, but it keeps the leases of the entries that it
/// holds and gives its sign of life. Entries then keep their place on the stream until their deadline.
pub trait Intake: Send + Sync + 'static {
    /// The slots of the worker; the worker takes one for each entry that it holds.
    fn limit(&self) -> &ConcurrencyLimit;

    /// Waits until the worker may take entries. Each grant is followed by one call of [`Intake::took`]. Like
    /// [`Intake::closed`], it may be dropped at any await.
    fn open(&self) -> Pin<Box<dyn Future<Output = Grant> + Send + '_>>;

    /// Waits until the last grant holds no longer. The worker then ends its read at once; the read may still bring
    /// entries.
    fn closed(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;

    /// The worker has used the last grant: it took `entries`, perhaps none.
    fn took(&self, entries: usize);
}

/// What a worker may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    /// The most entries, at least 1.
    pub most: usize,
    /// The longest wait for them.
    pub patience: Duration,
}
