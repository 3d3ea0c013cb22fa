use bytes::Bytes;
use prost::Message;

use super::{Codec, CodecError};

/// Protocol Buffers (<https://protobuf.dev>) through prost: a value is a generated message, or a type that derives
/// `prost::Message`.
///
/// A reader with an older schema skips fields that it does not know. Needs the feature `protobuf`.
#[derive(Debug, Default, Clone, Copy)]
pub struct Protobuf;

/// Other names of the format.
const ALIASES: [&str; 3] =
    ["application/protobuf", "application/vnd.google.protobuf", "application/x-google-protobuf"];

impl<T: Message + Default> Codec<T> for Protobuf {
    fn content_type(&self) -> &'static str {
        "application/x-protobuf"
    }

    fn reads(&self, essence: &str) -> bool {
        essence == "application/x-protobuf" || ALIASES.contains(&essence)
    }

    fn encode(&self, value: &T) -> Result<Bytes, CodecError> {
        Ok(value.encode_to_vec().into())
    }

    fn decode(&self, bytes: &[u8]) -> Result<T, CodecError> {
        T::decode(bytes).map_err(|e| CodecError::new("protobuf", e))
    }
}
