//! Reads `Retry-After`.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::{HeaderMap, RETRY_AFTER};

/// A longer `Retry-After` counts as this.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// `Retry-After` in either of its forms (RFC 9110, 10.2.3): seconds or a date.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match value.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let date = jiff::fmt::rfc2822::parse(value).ok()?.timestamp();
            Duration::try_from(date.duration_since(Timestamp::now())).unwrap_or(Duration::ZERO)
        }
    };
    Some(wait.min(DAY))
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    fn parsed(value: &'static str) -> Option<Duration> {
        retry_after(&HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(value))]))
    }

    #[test]
    fn retry_after_is_seconds_or_a_date_and_never_more_than_a_day() {
        assert_eq!(parsed("7"), Some(Duration::from_secs(7)));
        assert_eq!(parsed("99999999999"), Some(DAY));
        assert_eq!(parsed("Wed, 21 Oct 2015 07:28:00 GMT"), Some(Duration::ZERO));
        assert_eq!(parsed("Tue, 31 Dec 2999 00:00:00 GMT"), Some(DAY));
        assert_eq!(parsed("soon"), None);
        assert_eq!(parsed("-1"), None);
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }
}
