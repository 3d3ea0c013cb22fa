//! Durations and sizes as people write them.

use std::time::Duration;

const TIME: [(&str, u64); 5] =
    [("us", 1), ("ms", 1_000), ("s", 1_000_000), ("m", 60_000_000), ("h", 3_600_000_000)];
const SIZE: [(&str, u64); 5] =
    [("B", 1), ("kB", 1_000), ("KiB", 1 << 10), ("MB", 1_000_000), ("MiB", 1 << 20)];

/// Parses `30s`, `1m 30s`, `500ms`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    if is_number(text) {
        return Err(format!("has no unit; write {text}s"));
    }
    let rule =
        || "must be a duration with its unit (us, ms, s, m, h), such as 500ms, 30s or 1m 30s".to_owned();
    let (mut left, mut total) = (text.trim(), 0u64);
    if left.is_empty() {
        return Err(rule());
    }
    while !left.is_empty() {
        let (number, after) = number_of(left).ok_or_else(rule)?;
        let after = after.trim_start();
        let end = after.find(|c: char| !c.is_ascii_lowercase()).unwrap_or(after.len());
        let (_, unit) = TIME.iter().find(|(name, _)| *name == &after[..end]).ok_or_else(rule)?;
        total = number.checked_mul(*unit).and_then(|part| total.checked_add(part)).ok_or_else(rule)?;
        left = after[end..].trim_start();
    }
    Ok(Duration::from_micros(total))
}

/// Parses `64KiB`, `1MiB`, `0B`.
pub(super) fn size(text: &str) -> Result<u64, String> {
    if is_number(text) {
        return Err(format!("has no unit; write {text}B"));
    }
    let rule = || "must be a size with its unit (B, kB, KiB, MB, MiB), such as 64KiB".to_owned();
    let (number, unit) = number_of(text.trim()).ok_or_else(rule)?;
    let (_, unit) = SIZE.iter().find(|(name, _)| *name == unit.trim_start()).ok_or_else(rule)?;
    number.checked_mul(*unit).ok_or_else(rule)
}

/// Parses `50%` to 50.
pub(super) fn percent(text: &str) -> Result<u64, String> {
    if is_number(text) {
        return Err(format!("has no unit; write {text}%"));
    }
    let number = text.trim().strip_suffix('%').and_then(number_of);
    match number {
        Some((number @ 1..=100, "")) => Ok(number),
        _ => Err("must be 1% to 100%".to_owned()),
    }
}

/// The duration in the largest units that show it exactly: `1m 30s`.
pub(crate) fn show_duration(duration: Duration) -> String {
    let mut left = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    let mut parts = Vec::new();
    for (name, unit) in TIME.iter().rev() {
        if left >= *unit {
            parts.push(format!("{}{name}", left / unit));
            left %= unit;
        }
    }
    if parts.is_empty() { "0s".to_owned() } else { parts.join(" ") }
}

/// The size in the largest unit that shows it exactly: `64KiB`.
pub(crate) fn show_size(bytes: u64) -> String {
    let exact = |(_, unit): &&(&str, u64)| bytes >= *unit && bytes.is_multiple_of(*unit);
    let binary = [SIZE[4], SIZE[2], SIZE[0]];
    let (name, unit) = binary.iter().find(exact).unwrap_or(&SIZE[0]);
    format!("{}{name}", bytes / unit)
}

fn is_number(text: &str) -> bool {
    let text = text.trim();
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || b == b'.')
}

fn number_of(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    Some((text[..end].parse().ok()?, &text[end..]))
}
