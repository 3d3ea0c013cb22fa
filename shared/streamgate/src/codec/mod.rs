//! Turns typed values into the bytes of a body and back: [`Codec`] is the trait, [`Json`] (in `json`) its
//! implementation for JSON.
//!
//! The trait is generic over the value and does not require serde, so that a format with its own
//! traits (protobuf messages) can implement it too.

mod json;

use bytes::Bytes;

pub use json::Json;

/// Turns values of type `T` into bytes and back.
pub trait Codec<T>: Send + Sync {
    /// The media type of the bytes that [`Codec::encode`] returns.
    fn content_type(&self) -> &'static str;

    /// Encodes `value`.
    ///
    /// # Errors
    /// The value has no representation in this format.
    fn encode(&self, value: &T) -> Result<Bytes, CodecError>;

    /// Decodes the value in `bytes`.
    ///
    /// # Errors
    /// The bytes are not in this format, or hold something other than a `T`.
    fn decode(&self, bytes: &[u8]) -> Result<T, CodecError>;
}

/// Why a value could not be encoded or decoded.
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
