use std::fmt::Display;

use crate::stream::{Disposition, EntryId};

/// One entry, as a handler gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery<T> {
    /// The entry's id: the same in every delivery, also after a delay.
    pub id: EntryId,
    /// The value.
    pub value: T,
    /// Which delivery of the entry this is, counted from 1. If it is above 1, the work may have been done before.
    pub attempt: u32,
}

/// What a handler may return.
///
/// | The handler returns | What becomes of the entry |
/// |---|---|
/// | `()` or `Ok(())` | it is acknowledged |
/// | a [`Disposition`], or `Ok` of one | as that says |
/// | `Err` of anything that can be displayed | it is tried again as the worker's [`RetryPolicy`](crate::resilience::RetryPolicy) says, and then becomes a dead letter with this error |
pub trait HandlerResult: Send {
    /// How the entry is settled, or why the handler failed.
    ///
    /// # Errors
    /// The handler failed: the retry policy decides.
    fn into_disposition(self) -> Result<Disposition, String>;
}

impl HandlerResult for () {
    fn into_disposition(self) -> Result<Disposition, String> {
        Ok(Disposition::Acknowledge)
    }
}

impl HandlerResult for Disposition {
    fn into_disposition(self) -> Result<Disposition, String> {
        Ok(self)
    }
}

impl<R: HandlerResult, E: Display + Send> HandlerResult for Result<R, E> {
    fn into_disposition(self) -> Result<Disposition, String> {
        match self {
            Ok(result) => result.into_disposition(),
            Err(error) => Err(error.to_string()),
        }
    }
}
