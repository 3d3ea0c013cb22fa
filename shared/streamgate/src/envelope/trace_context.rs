use std::fmt;

/// W3C Trace Context, version 00: the trace that a request belongs to, and the span that caused the request.
///
/// Source: <https://www.w3.org/TR/trace-context/#traceparent-header>.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    /// 16 bytes, not all zero.
    pub trace_id: u128,
    /// 8 bytes, not all zero.
    pub parent_id: u64,
    /// Bit 0: sampled.
    pub flags: u8,
}

impl TraceContext {
    /// Reads a `traceparent`. If `text` is not valid version 00, the result is `None`, and the caller starts a new
    /// trace, as the specification asks.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        let lower_hex = |range: std::ops::Range<usize>| {
            bytes[range].iter().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(b))
        };
        let shaped = bytes.len() == 55
            && bytes.starts_with(b"00-")
            && bytes[35] == b'-'
            && bytes[52] == b'-'
            && lower_hex(3..35)
            && lower_hex(36..52)
            && lower_hex(53..55);
        if !shaped {
            return None;
        }
        let context = Self {
            trace_id: u128::from_str_radix(&text[3..35], 16).ok()?,
            parent_id: u64::from_str_radix(&text[36..52], 16).ok()?,
            flags: u8::from_str_radix(&text[53..55], 16).ok()?,
        };
        (context.trace_id != 0 && context.parent_id != 0).then_some(context)
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace_id, self.parent_id, self.flags)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parsed_traceparent_prints_the_same_text() {
        let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

        let context = TraceContext::parse(text).expect("valid");

        assert_eq!(context.to_string(), text);
    }

    #[test]
    fn a_malformed_traceparent_is_refused() {
        for text in [
            "",
            "00",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0é",
        ] {
            assert_eq!(TraceContext::parse(text), None, "{text}");
        }
    }
}
