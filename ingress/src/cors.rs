//! Which web pages may call from a browser (CORS, the fetch standard), if any.
//!
//! Off, no request passes any of this. A browser asks before it calls, with `OPTIONS` and without
//! an API key; what it may send and read is the same for all routes.

use std::str::FromStr;
use std::time::Duration;

use axum::http::header::{
    ACCESS_CONTROL_REQUEST_METHOD, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, ORIGIN,
    RETRY_AFTER,
};
use axum::http::{Method, Uri};
use service::http::host::is_host;
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::answer::X_REQUEST_ID;
use crate::api_keys::guard::X_API_KEY;
use crate::api_keys::limit::{RATELIMIT, RATELIMIT_POLICY};
use crate::problem::Failure;
use crate::routes::weather::SERVER_TIMING;

/// How long a browser may go without asking again.
const MAX_AGE: Duration = Duration::from_secs(600);

const RULE: &str = "must be * or origins with commas between, each as a browser sends it, such as \
                    https://app.example.org or http://localhost:3000";

/// The pages that may call, by their origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AllowedOrigins {
    /// All.
    Any,
    /// These.
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

/// Scheme, host and port. What no browser sends would be compared in vain: upper case, a path, the
/// usual port of the scheme.
fn origin(text: &str) -> Option<HeaderValue> {
    let (scheme, authority) = text.split_once("://")?;
    let usual_port = match scheme {
        "https" => ":443",
        "http" => ":80",
        _ => return None,
    };
    let odd = text.bytes().any(|byte| byte.is_ascii_uppercase() || byte == b'*');
    let sent = !odd && !authority.ends_with(usual_port) && !authority.ends_with(':');
    let valid = sent && is_host(authority.as_bytes()) && text.parse::<Uri>().is_ok();
    valid.then(|| HeaderValue::from_str(text).ok()).flatten()
}

/// The layer around every route that lets pages of `origins` call.
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

fn exposed() -> [HeaderName; 5] {
    [X_REQUEST_ID, RETRY_AFTER, SERVER_TIMING, RATELIMIT, RATELIMIT_POLICY]
}

/// The answer to a method that a path does not take: a browser's question deserves a better one.
pub async fn method_not_allowed(method: Method, headers: HeaderMap) -> Failure {
    let asks = headers.contains_key(ORIGIN) && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD);
    if method == Method::OPTIONS && asks { Failure::cors_is_off() } else { Failure::method_not_allowed() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_all_or_a_list_as_browsers_send_them() {
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
