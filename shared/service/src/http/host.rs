//! Checks the host that a request names (RFC 9112, 3.2; RFC 9113, 8.3.1).
//!
//! No route depends on the host. But a proxy in front may route by it. If the proxy and this server
//! read different hosts from one request, a caller may get an answer that is meant for another.

use axum::http::header::{HOST, HeaderMap, HeaderValue};
use axum::http::{Uri, Version};

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// HTTP/1.1 without a Host header, or HTTP/2 without a Host header and without `:authority`.
    #[error("the request must have a host header")]
    Missing,
    /// More than one Host header.
    #[error("the request must have one host header, not several")]
    Several,
    /// The Host header or `:authority` is not a host with or without a port.
    #[error("the host header must be a host such as example.org, with or without a port")]
    Invalid,
    /// HTTP/2 with a Host header and a different `:authority`.
    #[error("the host header and :authority must name the same host")]
    Contradicted,
}

/// Checks that a request names one host, without contradiction. With HTTP/1.0, it may name none.
///
/// # Errors
/// The request breaks this rule; the answer is 400.
pub fn check(version: Version, uri: &Uri, headers: &HeaderMap) -> Result<(), HostError> {
    let mut values = headers.get_all(HOST).iter();
    let (host, None) = (values.next(), values.next()) else { return Err(HostError::Several) };
    let host = host.map(HeaderValue::as_bytes);
    if host.is_some_and(|host| !is_host(host)) {
        return Err(HostError::Invalid);
    }
    if version < Version::HTTP_2 {
        // The host of an absolute target replaces the host header, so the two may differ.
        return if host.is_some() || version < Version::HTTP_11 { Ok(()) } else { Err(HostError::Missing) };
    }
    let Some(authority) = uri.authority().map(|authority| authority.as_str().as_bytes()) else {
        return if host.is_some() { Ok(()) } else { Err(HostError::Missing) };
    };
    if !is_host(authority) {
        return Err(HostError::Invalid);
    }
    let usual_port: &[u8] = if uri.scheme_str() == Some("https") { b":443" } else { b":80" };
    match host {
        Some(host) if !same(host, authority, usual_port) => Err(HostError::Contradicted),
        _ => Ok(()),
    }
}

/// `uri-host [ ":" port ]` (RFC 9110, 7.2). A host may not be empty (4.2.1).
pub fn is_host(text: &[u8]) -> bool {
    let (host, port) = match text.iter().rposition(|byte| matches!(byte, b':' | b']')) {
        Some(at) if text[at] == b':' => (&text[..at], &text[at + 1..]),
        _ => (text, &[][..]),
    };
    if !port.iter().all(u8::is_ascii_digit) {
        return false;
    }
    match host {
        [] => false,
        [b'[', inner @ .., b']'] => is_address(inner),
        name => is_name(name),
    }
}

/// The text in brackets: an IPv6 address. The `IPvFuture` of RFC 3986 is refused; none is defined.
fn is_address(text: &[u8]) -> bool {
    std::str::from_utf8(text).is_ok_and(|text| text.parse::<std::net::Ipv6Addr>().is_ok())
}

/// A name or an IPv4 address: `reg-name` of RFC 3986, 3.2.2.
fn is_name(text: &[u8]) -> bool {
    let mut rest = text;
    while let [byte, after @ ..] = rest {
        rest = match (byte, after) {
            (b'%', [a, b, after @ ..]) if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => after,
            (b'-' | b'.' | b'_' | b'~' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')', _)
            | (b'*' | b'+' | b',' | b';' | b'=', _) => after,
            (byte, _) if byte.is_ascii_alphanumeric() => after,
            _ => return false,
        };
    }
    true
}

/// Whether two hosts are the same: case does not matter, and the usual port may be left out.
fn same(a: &[u8], b: &[u8], usual_port: &[u8]) -> bool {
    let bare = |text| {
        let text = <[u8]>::strip_suffix(text, usual_port).unwrap_or(text);
        <[u8]>::strip_suffix(text, b":").unwrap_or(text)
    };
    bare(a).eq_ignore_ascii_case(bare(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(version: Version, uri: &'static str, hosts: &[&'static str]) -> Result<(), HostError> {
        let mut headers = HeaderMap::new();
        for host in hosts {
            headers.append(HOST, HeaderValue::from_static(host));
        }
        check(version, &Uri::from_static(uri), &headers)
    }

    #[test]
    fn a_host_is_a_name_or_an_address_with_or_without_a_port() {
        for host in ["a", "a.example.org", "a_b:80", "a:", "127.0.0.1:5009", "[::1]", "[::1]:80", "%41b"] {
            assert_eq!(checked(Version::HTTP_11, "/", &[host]), Ok(()), "{host}");
        }
        for host in [
            "", ":80", "a b", "a:b", "a:80:80", "a/b", "a?b", "a#b", "u@a", "::1", "[::1", "[x]", "[]",
            "[::1]a", "%4", "%zz", "http://a", "a\\b", "a, b",
        ] {
            assert_eq!(checked(Version::HTTP_11, "/", &[host]), Err(HostError::Invalid), "{host}");
        }
    }

    #[test]
    fn http_1_1_needs_one_host_and_http_1_0_at_most_one() {
        assert_eq!(checked(Version::HTTP_11, "/", &[]), Err(HostError::Missing));
        assert_eq!(checked(Version::HTTP_11, "http://a/", &[]), Err(HostError::Missing));
        assert_eq!(checked(Version::HTTP_11, "http://a/", &["b"]), Ok(()));
        assert_eq!(checked(Version::HTTP_11, "/", &["a", "a"]), Err(HostError::Several));
        assert_eq!(checked(Version::HTTP_10, "/", &[]), Ok(()));
        assert_eq!(checked(Version::HTTP_10, "/", &["a", "b"]), Err(HostError::Several));
        assert_eq!(checked(Version::HTTP_10, "/", &["a b"]), Err(HostError::Invalid));
    }

    #[test]
    fn http_2_needs_one_host_and_may_repeat_it() {
        let check = |uri, hosts: &[&'static str]| checked(Version::HTTP_2, uri, hosts);

        assert_eq!(check("/", &[]), Err(HostError::Missing));
        assert_eq!(check("http://u@a/", &[]), Err(HostError::Invalid));
        assert_eq!(check("http://a/", &["b"]), Err(HostError::Contradicted));
        assert_eq!(check("http://a/", &["a:81"]), Err(HostError::Contradicted));
        assert_eq!(check("https://a/", &["a:80"]), Err(HostError::Contradicted));
        assert_eq!(check("http://a/", &["a", "a"]), Err(HostError::Several));
        for (uri, hosts) in [
            ("/", &["a"][..]),
            ("http://a/", &[]),
            ("http://a/", &["A"]),
            ("http://a:80/", &["a"]),
            ("https://a/", &["a:443"]),
        ] {
            assert_eq!(check(uri, hosts), Ok(()), "{uri} {hosts:?}");
        }
    }
}
