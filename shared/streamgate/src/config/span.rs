use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A time span as people write it: `30s`, `500ms`, `1m 30s`; [`Span::LONGEST`] at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

impl Span {
    /// 30 days: more than anybody waits, and little enough that sums and products of spans, and
    /// moments that far ahead, never overflow.
    pub const LONGEST: Duration = Duration::from_secs(30 * 24 * 60 * 60);
}

/// Why a text is no [`Span`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSpan {
    /// It is no duration.
    #[error("must be a duration with its unit, such as 500ms, 30s or 5m")]
    NoDuration,
    /// It is longer than [`Span::LONGEST`].
    #[error("must be at most 720h, which is 30 days")]
    TooLong,
}

impl FromStr for Span {
    type Err = InvalidSpan;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let span: jiff::SignedDuration = text.parse().map_err(|_| InvalidSpan::NoDuration)?;
        let span = Duration::try_from(span).map_err(|_| InvalidSpan::NoDuration)?;
        if span > Self::LONGEST { Err(InvalidSpan::TooLong) } else { Ok(Self(span)) }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", jiff::SignedDuration::try_from(self.0).unwrap_or(jiff::SignedDuration::MAX))
    }
}

/// A range of time spans: `100ms..500ms`, or one value for both ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpanRange {
    /// The shortest.
    pub from: Duration,
    /// The longest; not below `from`.
    pub to: Duration,
}

impl FromStr for SpanRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (from, to) = text.split_once("..").unwrap_or((text, text));
        let rule = |invalid| match invalid {
            InvalidSpan::NoDuration => {
                "must be a range of durations such as 100ms..500ms, or one duration".to_owned()
            }
            InvalidSpan::TooLong => invalid.to_string(),
        };
        let from = from.trim().parse::<Span>().map_err(rule)?.0;
        let to = to.trim().parse::<Span>().map_err(rule)?.0;
        if from > to {
            return Err("must start with the shorter duration".to_owned());
        }
        Ok(Self { from, to })
    }
}

impl fmt::Display for SpanRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", Span(self.from), Span(self.to))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_and_print_the_same() {
        for text in ["500ms", "30s", "1m 30s", "2h"] {
            assert_eq!(text.parse::<Span>().expect(text).to_string(), text);
        }
        for text in ["", "5", "-1s", "1 fortnight"] {
            assert_eq!(text.parse::<Span>(), Err(InvalidSpan::NoDuration), "{text}");
        }
    }

    #[test]
    fn nothing_is_longer_than_30_days() {
        assert_eq!("720h".parse(), Ok(Span(Span::LONGEST)));
        for text in ["720h 1ms", "43201m", "9223372036854775807s"] {
            assert_eq!(text.parse::<Span>(), Err(InvalidSpan::TooLong), "{text}");
            let rule = format!("1s..{text}").parse::<SpanRange>().expect_err(text);
            assert_eq!(rule, InvalidSpan::TooLong.to_string());
        }
    }

    #[test]
    fn a_range_is_one_or_two_spans_in_order() {
        let range: SpanRange = "100ms..500ms".parse().expect("valid");
        assert_eq!((range.from, range.to), (Duration::from_millis(100), Duration::from_millis(500)));
        assert_eq!("1s".parse::<SpanRange>().expect("valid").to, Duration::from_secs(1));
        assert!("500ms..100ms".parse::<SpanRange>().is_err());
    }
}
