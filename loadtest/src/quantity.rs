//! The quantities of the command line, each checked when it is read.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A duration longer than zero, written with its unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PositiveDuration(pub Duration);

/// Requests per second, above zero.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate(f64);

/// A part of a whole, from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ratio(pub f64);

/// More than one machine can send, but far less than one request per nanosecond.
const FASTEST: f64 = 10_000_000.0;
/// One request per day: a slower rate is no load, and an `Instant` can still hold its times.
const SLOWEST: f64 = 1.0 / 86_400.0;

impl Rate {
    /// Requests per second.
    pub fn per_second(self) -> f64 {
        self.0
    }

    /// How many requests leave within `duration`; the first leaves at once.
    pub fn times(self, duration: Duration) -> u64 {
        ((duration.as_secs_f64() * self.0).ceil() as u64).max(1)
    }

    /// How long after the first request number `n` leaves, counted from 0. It is not a sum of rounded
    /// intervals, which would drift.
    pub fn offset(self, n: u64) -> Duration {
        Duration::from_secs_f64(n as f64 / self.0)
    }
}

impl FromStr for PositiveDuration {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse::<jiff::SignedDuration>()
            .ok()
            .and_then(|span| Duration::try_from(span).ok())
            .filter(|span| !span.is_zero())
            .map(Self)
            .ok_or_else(|| "must be a duration above zero with its unit, such as 500ms or 30s".to_owned())
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let rate = text.parse().ok().filter(|rate| (SLOWEST..=FASTEST).contains(rate));
        rate.map(Self)
            .ok_or_else(|| "must be requests per second, a number above zero such as 500".to_owned())
    }
}

impl FromStr for Ratio {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let ratio = match text.strip_suffix('%') {
            Some(percent) => percent.trim_end().parse().map(|percent: f64| percent / 100.0),
            None => text.parse(),
        };
        ratio
            .ok()
            .filter(|ratio| (0.0..=1.0).contains(ratio))
            .map(Self)
            .ok_or_else(|| "must be a part of all requests, such as 0.01 or 1%".to_owned())
    }
}

impl fmt::Display for PositiveDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} %", self.0 * 100.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_a_number_or_a_percentage() {
        for (text, ratio) in [("0", 0.0), ("0.25", 0.25), ("1%", 0.01), ("100 %", 1.0)] {
            assert_eq!(text.parse(), Ok(Ratio(ratio)), "{text}");
        }
        for text in ["", "%", "-1%", "1.5", "101%", "NaN", "some"] {
            assert!(text.parse::<Ratio>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_rate_gives_the_times_of_its_requests() {
        for text in ["", "0", "-5", "NaN", "inf", "1e9", "1e-9"] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
        let rate: Rate = "0.5".parse().expect("a rate");

        assert_eq!(rate.offset(3), Duration::from_secs(6));
        assert_eq!((rate.times(Duration::from_secs(6)), rate.times(Duration::from_millis(1))), (3, 1));
    }
}
