use axum::http::header::{CONTENT_ENCODING, HeaderMap};

/// True if the headers name a content coding other than `identity`. Streamgate decodes none.
pub fn is_encoded(headers: &HeaderMap) -> bool {
    headers.get_all(CONTENT_ENCODING).iter().any(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity"))
}
