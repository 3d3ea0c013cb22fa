use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};

use super::{Codec, CodecError};

/// MessagePack (<https://msgpack.org>) through serde. Structs are written as maps with the names of their fields, so
/// that a reader finds fields by name, as in JSON.
///
/// Needs the feature `message-pack`.
#[derive(Debug, Default, Clone, Copy)]
pub struct MessagePack;

/// Names that were usual before IANA registered one in 2024.
const ALIASES: [&str; 2] = ["application/msgpack", "application/x-msgpack"];

impl<T: Serialize + DeserializeOwned> Codec<T> for MessagePack {
    fn content_type(&self) -> &'static str {
        "application/vnd.msgpack"
    }

    fn reads(&self, essence: &str) -> bool {
        essence == "application/vnd.msgpack" || ALIASES.contains(&essence)
    }

    fn encode(&self, value: &T) -> Result<Bytes, CodecError> {
        rmp_serde::to_vec_named(value).map(Bytes::from).map_err(|e| CodecError::new("message pack", e))
    }

    fn decode(&self, bytes: &[u8]) -> Result<T, CodecError> {
        rmp_serde::from_slice(bytes).map_err(|e| CodecError::new("message pack", e))
    }
}
