use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

/// The name of a stream: a Redis key that comes from configuration, never from a caller.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamKey(Arc<str>);

/// The longest name accepted, in bytes.
const LONGEST: usize = 256;

/// The shortest time that a lane outlives its last use: long enough for a person to look at it.
const SHORTEST_LANE_TTL: Duration = Duration::from_secs(600);

impl StreamKey {
    /// The name as Redis knows it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The stream of dead letters, the entries that no worker can process. Its name is `{name}:dlq`, so that Redis
    /// Cluster keeps it in the stream's own slot; if the name already has a hash tag, it is `<name>:dlq`.
    pub fn dead_letters(&self) -> Self {
        self.beside("dlq")
    }

    /// The start of the names of the keys that keep the delayed entries of a group, by the time they are due:
    /// `{name}:delayed:<group>`.
    pub(crate) fn delayed(&self) -> Self {
        self.beside("delayed:")
    }

    /// As [`StreamKey::delayed`], by the time in their ids: `{name}:delayed-ids:<group>`.
    pub(super) fn delayed_ids(&self) -> Self {
        self.beside("delayed-ids:")
    }

    /// The name of a key in the same slot of Redis Cluster.
    fn beside(&self, part: &str) -> Self {
        let name = if self.0.contains('{') {
            format!("{}:{part}", self.0)
        } else {
            format!("{{{}}}:{part}", self.0)
        };
        Self(name.into())
    }

    /// The reply lane of one replica: its own reply stream, `<name>.<replica>`.
    ///
    /// # Errors
    /// The result is no valid name.
    pub fn lane(&self, replica: &str) -> Result<Self, InvalidStreamKey> {
        format!("{}.{replica}", self.0).parse()
    }

    /// How long an unused lane is kept: at least twice the longest timeout of a request.
    pub fn lane_ttl(longest_timeout: Duration) -> Duration {
        (longest_timeout * 2).max(SHORTEST_LANE_TTL)
    }

    /// True if `name` is this stream or one of its lanes.
    pub fn is_or_has_lane(&self, name: &str) -> bool {
        name.strip_prefix(self.as_str())
            .is_some_and(|rest| rest.is_empty() || (rest.len() > 1 && rest.starts_with('.')))
            && is_valid(name)
    }
}

fn is_valid(name: &str) -> bool {
    (1..=LONGEST).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_graphic())
        && braces_are_one_tag(name)
}

/// True if a name has no braces, or braces that form exactly one hash tag that is not empty (Redis Cluster
/// specification, "Hash tags"). Other braces would put a stream and its dead letters into different slots.
fn braces_are_one_tag(name: &str) -> bool {
    match (name.find('{'), name.find('}')) {
        (None, None) => true,
        (Some(open), Some(close)) => close > open + 1 && name.matches(['{', '}']).count() == 2,
        _ => false,
    }
}

impl fmt::Display for StreamKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text is not a valid name of a stream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to {LONGEST} visible ASCII characters without spaces, with at most one {{hash tag}}")]
pub struct InvalidStreamKey;

impl FromStr for StreamKey {
    type Err = InvalidStreamKey;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        is_valid(name).then(|| Self(name.into())).ok_or(InvalidStreamKey)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> StreamKey {
        name.parse().expect("valid")
    }

    #[test]
    fn dead_letters_share_the_streams_slot() {
        assert_eq!(key("weather-requests").dead_letters().as_str(), "{weather-requests}:dlq");
        assert_eq!(key("{weather}-requests").dead_letters().as_str(), "{weather}-requests:dlq");
    }

    #[test]
    fn a_reply_may_go_to_the_stream_or_its_lanes_only() {
        let replies = key("weather-responses");

        for good in ["weather-responses", "weather-responses.pod-1", "weather-responses.a.b"] {
            assert!(replies.is_or_has_lane(good), "{good}");
        }
        for bad in
            ["weather-requests", "weather-responsesX", "weather-responses.", "", "weather-responses.a b"]
        {
            assert!(!replies.is_or_has_lane(bad), "{bad}");
        }
    }

    #[test]
    fn empty_names_spaces_controls_and_unpaired_braces_are_refused() {
        for bad in ["", "a b", "a\nb", "ü", "odd{}name", "a{", "}a{", "{a}{b}"] {
            assert!(bad.parse::<StreamKey>().is_err(), "{bad:?}");
        }
    }
}
