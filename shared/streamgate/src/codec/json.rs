use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};

use super::{Codec, CodecError};

/// JSON (RFC 8259) through serde.
#[derive(Debug, Default, Clone, Copy)]
pub struct Json;

impl<T: Serialize + DeserializeOwned> Codec<T> for Json {
    fn content_type(&self) -> &'static str {
        "application/json"
    }

    fn encode(&self, value: &T) -> Result<Bytes, CodecError> {
        serde_json::to_vec(value).map(Bytes::from).map_err(|e| CodecError::new("json", e))
    }

    fn decode(&self, bytes: &[u8]) -> Result<T, CodecError> {
        serde_json::from_slice(bytes).map_err(|e| CodecError::new("json", e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decoded_value_equals_the_encoded_one() {
        let value = vec!["Oslo".to_owned(), "Ørsta".to_owned()];

        let bytes = Json.encode(&value).expect("encodes");

        assert_eq!(Codec::<Vec<String>>::decode(&Json, &bytes).expect("decodes"), value);
    }

    #[test]
    fn json_of_another_type_is_refused_with_a_reason() {
        let error = Codec::<Vec<String>>::decode(&Json, b"{\"a\":1}").expect_err("a map is no list");

        assert!(error.to_string().starts_with("json: invalid type"), "{error}");
    }
}
