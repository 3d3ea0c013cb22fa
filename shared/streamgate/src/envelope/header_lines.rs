//! HTTP header fields as the value of one field of an entry: lines `name: value`.

/// The most header fields that are read from an entry; further ones are dropped.
const MOST: usize = 100;

/// Calls `put` with the field `headers`, if there is a valid header field.
pub(super) fn put(headers: &[(String, String)], mut put: impl FnMut(&str, &[u8])) {
    if !headers.is_empty() {
        let lines = encode(headers);
        if !lines.is_empty() {
            put("headers", lines.as_bytes());
        }
    }
}

/// The lines of those header fields that are valid in HTTP; the others are left out.
fn encode(headers: &[(String, String)]) -> String {
    let mut lines = String::new();
    for (name, value) in headers.iter().take(MOST).filter(|(name, value)| is_token(name) && is_value(value)) {
        if !lines.is_empty() {
            lines.push('\n');
        }
        lines.extend([name, ": ", value]);
    }
    lines
}

/// The header fields in these lines, names in lower case. A line that is not valid in HTTP is dropped.
pub(super) fn decode(lines: &[u8]) -> Vec<(String, String)> {
    lines.split(|byte| *byte == b'\n').filter_map(line).take(MOST).collect()
}

fn line(line: &[u8]) -> Option<(String, String)> {
    let (name, value) = std::str::from_utf8(line).ok()?.split_once(':')?;
    let value = value.trim_matches([' ', '\t']);
    (is_token(name) && is_value(value)).then(|| (name.to_ascii_lowercase(), value.to_owned()))
}

/// True if `text` is a token of HTTP: what names of header fields and methods are made of.
pub(super) fn is_token(text: &str) -> bool {
    let is_allowed = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    !text.is_empty() && text.bytes().all(is_allowed)
}

/// True if `text` is valid as the value of a header field: without control characters other than the tab.
fn is_value(text: &str) -> bool {
    text.bytes().all(|b| b == b'\t' || (b >= b' ' && b != 0x7f))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn decoded_header_fields_equal_the_encoded_ones() {
        let headers =
            [pair("accept-language", "de, en;q=0.5"), pair("x-empty", ""), pair("x-name", "Zoë: a\tb")];

        assert_eq!(decode(encode(&headers).as_bytes()), headers);
    }

    #[test]
    fn a_header_field_cannot_add_another_one() {
        let attacks = ["1\nx-evil: 1", "1\rx-evil: 1", "1\r\nx-evil: 1", "1\0", "\u{7f}"];
        for attack in attacks {
            assert_eq!(encode(&[pair("x-a", attack), pair("x-b", "2")]), "x-b: 2", "{attack:?}");
            assert_eq!(encode(&[pair(attack, "1")]), "", "{attack:?}");
        }
        for name in ["", "x y", "x:y", "x\u{e9}"] {
            assert_eq!(encode(&[pair(name, "1")]), "", "{name:?}");
        }
    }

    #[test]
    fn a_malformed_line_is_dropped_alone() {
        let lines =
            b"no colon\nx-a:1\n: empty\nx b: 1\nx-c: 1\r\nx-d: \0\nX-E:  two \n\xff\xfe: 1\nx-f: \xff\n";

        assert_eq!(decode(lines), [pair("x-a", "1"), pair("x-e", "two")]);
    }

    #[test]
    fn the_number_of_header_fields_is_bounded() {
        let many: Vec<_> = (0..MOST + 5).map(|n| pair(&format!("x-{n}"), "1")).collect();
        let lines: String = many.iter().map(|(name, value)| format!("{name}: {value}\n")).collect();

        assert_eq!((decode(encode(&many).as_bytes()).len(), decode(lines.as_bytes()).len()), (MOST, MOST));
    }
}
