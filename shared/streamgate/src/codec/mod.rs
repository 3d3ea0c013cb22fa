//! How a typed value becomes the bytes of a body and back.
//!
//! The trait is generic over the value rather than over serde, so that a format with its own
//! traits (protobuf messages) implements it next to [`Json`].

mod json;

use bytes::Bytes;

pub use json::Json;

/// Turns values of type `T` into bytes and back.
pub trait Codec<T>: Send + Sync {
    /// The media type of what [`Codec::encode`] writes.
    fn content_type(&self) -> &'static str;

    /// The bytes of `value`.
    ///
    /// # Errors
    /// The value has no representation in this format.
    fn encode(&self, value: &T) -> Result<Bytes, CodecError>;

    /// The value in `bytes`.
    ///
    /// # Errors
    /// The bytes are not in this format, or hold something other than a `T`.
    fn decode(&self, bytes: &[u8]) -> Result<T, CodecError>;
}

/// Why a value could not be written or read.
#[derive(Debug, thiserror::Error)]
#[error("{format}: {source}")]
pub struct CodecError {
    format: &'static str,
    #[source]
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl CodecError {
    /// Wraps the error of a format's library.
    pub fn new(format: &'static str, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self { format, source: source.into() }
    }
}
