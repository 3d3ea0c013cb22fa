//! Parsers of single values, for clap's `value_parser`. An error is the rule that the value breaks.

use std::fmt::Display;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// A whole number in `range`.
pub fn count<T>(range: RangeInclusive<T>) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync
where
    T: FromStr + PartialOrd + Display + Clone + Send + Sync,
{
    move |text| {
        let number = text.parse().ok().filter(|number| range.contains(number));
        number.ok_or_else(|| format!("must be a whole number from {} to {}", range.start(), range.end()))
    }
}

/// An IP address with a port.
///
/// # Errors
/// The text is not an IP address with a port; host names are not accepted.
pub fn address(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse().map_err(|_| "must be an address with a port, such as 0.0.0.0:5010 or [::]:5010")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_a_whole_number_in_its_range() {
        let threads = count(1u16..=256);

        assert_eq!((threads("1"), threads("256")), (Ok(1), Ok(256)));
        for text in ["", "abc", "0", "257", "-1", "1.5", " 1", "99999999999999999999"] {
            assert_eq!(threads(text).expect_err(text), "must be a whole number from 1 to 256");
        }
    }

    #[test]
    fn an_address_has_a_port() {
        for text in ["127.0.0.1:0", "[::]:5010"] {
            assert_eq!(address(text).expect(text).to_string(), text);
        }
        for text in ["", "5010", "localhost:5010", "0.0.0.0", "::1", "0.0.0.0:70000"] {
            assert!(address(text).expect_err(text).starts_with("must be an address with a port"));
        }
    }
}
