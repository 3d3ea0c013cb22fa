use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A duration as people write it: `30s`, `500ms`, `1m 30s`; at most [`HumanDuration::LONGEST`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct HumanDuration(pub Duration);

impl HumanDuration {
    /// 30 days. No setting needs more, and no sum, product or point in time that is computed from
    /// such durations overflows.
    pub const LONGEST: Duration = Duration::from_secs(30 * 24 * 60 * 60);
}

/// Why a text is not a [`HumanDuration`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDuration {
    /// The text is not a duration.
    #[error("must be a duration with its unit, such as 500ms, 30s or 5m")]
    NoDuration,
    /// The duration is longer than [`HumanDuration::LONGEST`].
    #[error("must be at most 720h, which is 30 days")]
    TooLong,
}

impl FromStr for HumanDuration {
    type Err = InvalidDuration;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let duration: jiff::SignedDuration = text.parse().map_err(|_| InvalidDuration::NoDuration)?;
        let duration = Duration::try_from(duration).map_err(|_| InvalidDuration::NoDuration)?;
        if duration > Self::LONGEST { Err(InvalidDuration::TooLong) } else { Ok(Self(duration)) }
    }
}

impl fmt::Display for HumanDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", jiff::SignedDuration::try_from(self.0).unwrap_or(jiff::SignedDuration::MAX))
    }
}

/// A range of durations: `100ms..500ms`, or one value for both ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DurationRange {
    /// The shortest duration.
    pub from: Duration,
    /// The longest duration; not shorter than `from`.
    pub to: Duration,
}

impl FromStr for DurationRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (from, to) = text.split_once("..").unwrap_or((text, text));
        let rule = |invalid| match invalid {
            InvalidDuration::NoDuration => {
                "must be a range of durations such as 100ms..500ms, or one duration".to_owned()
            }
            InvalidDuration::TooLong => invalid.to_string(),
        };
        let from = from.trim().parse::<HumanDuration>().map_err(rule)?.0;
        let to = to.trim().parse::<HumanDuration>().map_err(rule)?.0;
        if from > to {
            return Err("must start with the shorter duration".to_owned());
        }
        Ok(Self { from, to })
    }
}

impl fmt::Display for DurationRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", HumanDuration(self.from), HumanDuration(self.to))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_printed_as_they_are_read() {
        for text in ["500ms", "30s", "1m 30s", "2h"] {
            assert_eq!(text.parse::<HumanDuration>().expect(text).to_string(), text);
        }
        for text in ["", "5", "-1s", "1 fortnight"] {
            assert_eq!(text.parse::<HumanDuration>(), Err(InvalidDuration::NoDuration), "{text}");
        }
    }

    #[test]
    fn nothing_is_longer_than_30_days() {
        assert_eq!("720h".parse(), Ok(HumanDuration(HumanDuration::LONGEST)));
        for text in ["720h 1ms", "43201m", "9223372036854775807s"] {
            assert_eq!(text.parse::<HumanDuration>(), Err(InvalidDuration::TooLong), "{text}");
            let rule = format!("1s..{text}").parse::<DurationRange>().expect_err(text);
            assert_eq!(rule, InvalidDuration::TooLong.to_string());
        }
    }

    #[test]
    fn a_range_is_one_duration_or_two_in_order() {
        let range: DurationRange = "100ms..500ms".parse().expect("valid");
        assert_eq!((range.from, range.to), (Duration::from_millis(100), Duration::from_millis(500)));
        assert_eq!("1s".parse::<DurationRange>().expect("valid").to, Duration::from_secs(1));
        assert!("500ms..100ms".parse::<DurationRange>().is_err());
    }
}
