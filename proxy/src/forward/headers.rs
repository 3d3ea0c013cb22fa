//! Which header fields pass: none that belong to one connection (RFC 9110, 7.6.1), none that proxy makes itself.

use reqwest::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};

/// True for a field that belongs to one connection.
fn is_hop_by_hop(name: &HeaderName) -> bool {
    let known =
        [CONNECTION, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE];
    known.contains(name) || matches!(name.as_str(), "keep-alive" | "proxy-connection")
}

/// True for a field that the HTTP client makes, or that travels beside the header fields.
fn is_made(name: &HeaderName) -> bool {
    [HOST, CONTENT_LENGTH, CONTENT_TYPE].contains(name)
}

/// The fields of the caller that an upstream gets: those that `pass` names.
pub(super) fn passed<'a>(
    fields: &'a [(String, String)],
    pass: &'a [HeaderName],
) -> impl Iterator<Item = (HeaderName, HeaderValue)> + 'a {
    fields.iter().filter_map(|(name, value)| {
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        let passes = pass.contains(&name) && !is_hop_by_hop(&name) && !is_made(&name);
        passes.then_some((name, HeaderValue::from_bytes(value.as_bytes()).ok()?))
    })
}

/// The fields of an answer that a caller gets: all that do not belong to the connection. The media type and the length
/// travel beside them. A value that is not UTF-8 is left out.
pub(super) fn of_answer(headers: &HeaderMap) -> Vec<(String, String)> {
    let named = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let named: Vec<String> =
        named.flat_map(|names| names.split(',')).map(|name| name.trim().to_ascii_lowercase()).collect();
    headers
        .iter()
        .filter(|(name, _)| !is_hop_by_hop(name) && !is_made(name))
        .filter(|(name, _)| !named.iter().any(|named| named == name.as_str()))
        .filter_map(|(name, value)| {
            let value = std::str::from_utf8(value.as_bytes()).ok()?;
            Some((name.as_str().to_owned(), value.to_owned()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_named_fields_pass_and_none_of_a_connection() {
        let fields = ["accept-language", "authorization", "connection", "cookie", "host", "te", "x-a"];
        let fields = fields.map(|name| (name.to_owned(), "1".to_owned()));
        let pass = ["accept-language", "connection", "host", "te", "cookie"];
        let pass = pass.map(HeaderName::from_static);

        let passed: Vec<_> = passed(&fields, &pass).map(|(name, _)| name.to_string()).collect();

        assert_eq!(passed, ["accept-language", "cookie"]);
    }

    #[test]
    fn a_field_named_by_connection_stays_behind() {
        let headers: HeaderMap = [
            ("connection", "close, X-Hop"),
            ("x-hop", "1"),
            ("keep-alive", "timeout=5"),
            ("content-length", "3"),
            ("content-encoding", "gzip"),
            ("set-cookie", "a=1"),
        ]
        .into_iter()
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
        .collect();

        let names: Vec<_> = of_answer(&headers).into_iter().map(|(name, _)| name).collect();

        assert_eq!(names, ["content-encoding", "set-cookie"]);
    }
}
