//! Turns typed values into the bytes of a body and back: [`Codec`] is the trait; [`Json`], `Protobuf` (feature
//! `protobuf`) and `MessagePack` (feature `message-pack`) implement it.
//!
//! The reader's program chooses the type of the value. No codec looks up a type by a name that it finds in the bytes,
//! so a writer cannot choose what a reader creates. A stream with several kinds of values is an enum with a tag:
//!
//! ```
//! # use serde::{Deserialize, Serialize};
//! #[derive(Serialize, Deserialize)]
//! #[serde(tag = "type", rename_all = "snake_case")]
//! enum Event {
//!     Created { name: String },
//!     Deleted,
//! }
//! ```
//!
//! The trait is generic over the value and does not require serde, so that a format with its own
//! traits (protobuf messages) can implement it too.

mod json;
#[cfg(feature = "message-pack")]
mod message_pack;
#[cfg(feature = "protobuf")]
mod protobuf;

use bytes::Bytes;

pub use json::Json;
#[cfg(feature = "message-pack")]
pub use message_pack::MessagePack;
#[cfg(feature = "protobuf")]
pub use protobuf::Protobuf;

/// Turns values of type `T` into bytes and back.
pub trait Codec<T>: Send + Sync {
    /// The media type of the bytes that [`Codec::encode`] returns.
    fn content_type(&self) -> &'static str;

    /// True if bytes of this media type can be decoded. `essence` is in lower case and has no parameters. A codec whose
    /// format has several names also reads the others.
    fn reads(&self, essence: &str) -> bool {
        essence == self.content_type()
    }

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
pub enum CodecError {
    /// The format's library refused the value or the bytes.
    #[error("{format}: {source}")]
    Format {
        /// The name of the format.
        format: &'static str,
        /// The error of its library.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The bytes are in another format, as their writer says.
    #[error(
        "the content type is `{found}`, but this reader decodes `{expected}`: give it the codec for `{found}`"
    )]
    ContentType {
        /// What the writer of the entry says.
        found: String,
        /// What the codec of the reader decodes.
        expected: &'static str,
    },
    /// The entry has no bytes to decode.
    #[error("field `body` is missing: the entry was not written by a channel or a producer")]
    NoBody,
}

impl CodecError {
    /// Wraps the error of a format's library.
    pub fn new(format: &'static str, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Format { format, source: source.into() }
    }
}
