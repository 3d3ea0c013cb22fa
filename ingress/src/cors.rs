//! Decides which web pages may send requests from a browser (CORS, the fetch standard).
//!
//! If CORS is off, this layer does not exist. A browser first asks for permission with an `OPTIONS`
//! request without an API key (a preflight). The permissions are the same for all routes.

use std::str::FromStr;
use std::time::Duration;

use axum::http::header::{
    ACCESS_CONTROL_REQUEST_METHOD, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, ORIGIN,
    RETRY_AFTER,
};
use axum::http::{Method, Uri};
use service::api_key::X_API_KEY;
use service::http::host::is_host;
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::answer_layer::X_REQUEST_ID;
use crate::api_keys::limit::{RATELIMIT, RATELIMIT_POLICY};
use crate::problem::Failure;
use crate::routes::answer::SERVER_TIMING;

/// How long a browser may cache a permission.
const MAX_AGE: Duration = Duration::from_secs(600);

const RULE: &str = "must be * or origins separated by commas, each as a browser sends it, such as \
                    https://app.example.org or http://localhost:3000";

/// The origins of the web pages that may send requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AllowedOrigins {
    /// All origins.
    Any,
    /// These origins.
    Only(Vec<HeaderValue>),
}

impl FromStr for AllowedOrigins {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.trim() == "*" {
            return Ok(Self::Any);
        }
        text.split(',').map(|one| origin(one.trim()).ok_or(RULE)).collect::<Result<_, _>>().map(Self::Only)
    }
}

/// Parses an origin: scheme, host and port. It refuses everything that no browser sends, because that
/// would never match: upper case, a path, the usual port of the scheme.
fn origin(text: &str) -> Option<HeaderValue> {
    let (scheme, authority) = text.split_once("://")?;
    let usual_port = match scheme {
        "https" => ":443",
        "http" => ":80",
        _ => return None,
    };
    let has_forbidden_byte = text.bytes().any(|byte| byte.is_ascii_uppercase() || byte == b'*');
    let as_sent = !has_forbidden_byte && !authority.ends_with(usual_port) && !authority.ends_with(':');
    let valid = as_sent && is_host(authority.as_bytes()) && text.parse::<Uri>().is_ok();
    valid.then(|| HeaderValue::from_str(text).ok()).flatten()
}

/// The layer around every route that lets web pages of `origins` send requests.
pub fn layer(origins: AllowedOrigins) -> CorsLayer {
    let origins = match origins {
        AllowedOrigins::Any => AllowOrigin::any(),
        AllowedOrigins::Only(origins) => AllowOrigin::list(origins),
    };
    CorsLayer::new()
        .allow_origin(origins)
        .allow_methods([Method::GET, Method::HEAD, Method::POST])
        .allow_headers([CONTENT_TYPE, AUTHORIZATION, X_API_KEY])
        .expose_headers(exposed())
        .max_age(MAX_AGE)
}

/// The fields of an answer that a page may read.
pub(crate) fn exposed() -> [HeaderName; 5] {
    [X_REQUEST_ID, RETRY_AFTER, SERVER_TIMING, RATELIMIT, RATELIMIT_POLICY]
}

/// The answer to a method that a path does not accept. If the request is a preflight, the answer says
/// that CORS is off.
pub async fn method_not_allowed(method: Method, headers: HeaderMap) -> Failure {
    let is_preflight = headers.contains_key(ORIGIN) && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD);
    if method == Method::OPTIONS && is_preflight {
        Failure::cors_is_off()
    } else {
        Failure::method_not_allowed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_a_star_or_a_list() {
        assert_eq!("*".parse(), Ok(AllowedOrigins::Any));
        let two = ["https://app.example.org", "http://[::1]:3000"].map(HeaderValue::from_static);
        assert_eq!(
            "https://app.example.org, http://[::1]:3000".parse(),
            Ok(AllowedOrigins::Only(two.to_vec()))
        );
        for wrong in [
            "",
            ",",
            "*,*",
            "https://a,",
            "https://a,*",
            "app.example.org",
            "https://",
            "https://a/",
            "https://a/b",
            "https://*.example.org",
            "https://A.org",
            "HTTPS://a",
            "https://a:443",
            "http://a:80",
            "https://a:",
            "https://a:x",
            "https://u@a",
            "ftp://a",
            "null",
            "https://a https://b",
        ] {
            assert_eq!(wrong.parse::<AllowedOrigins>(), Err(RULE), "{wrong:?}");
        }
    }
}
