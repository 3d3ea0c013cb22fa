//! What people see.

use std::io::{IsTerminal, Write, stdout};

/// Names and their colours (SGR codes).
const COLOURS: [(&str, &str); 9] = [
    ("redis", "35"),
    ("proxy", "36"),
    ("ingress", "32"),
    ("chat-1", "36"),
    ("chat-2", "32"),
    ("events-api", "32"),
    ("member-1", "36"),
    ("member-2", "34"),
    ("consumer", "33"),
];
const WIDTH: usize = 7;

/// Prints whole lines. A reader that went away is no reason to leave processes behind.
pub(crate) fn say(text: &str) {
    let mut terminal = stdout().lock();
    let _ = terminal.write_all(format!("{text}\n").as_bytes()).and_then(|()| terminal.flush());
}

/// Prints a line of a process behind its name.
pub(crate) fn show(name: &str, line: &str) {
    let colour = COLOURS.iter().find(|(it, _)| *it == name).map_or("0", |(_, colour)| colour);
    let coloured = stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|it| it.is_empty());
    if coloured {
        say(&format!("\x1b[{colour}m{name:<WIDTH$} | \x1b[0m{line}"));
    } else {
        say(&format!("{name:<WIDTH$} | {line}"));
    }
}

/// JSON in lines of its own for each value, as it came otherwise.
pub(crate) fn spread(json: &str) -> String {
    let mut spread = String::new();
    let (mut depth, mut in_text, mut escaped) = (0, false, false);
    let line = |depth: usize| format!("\n{:1$}", "", 2 * depth);
    for c in json.chars() {
        if in_text {
            in_text = escaped || c != '"';
            escaped = c == '\\' && !escaped;
            spread.push(c);
            continue;
        }
        match c {
            '{' | '[' => {
                depth += 1;
                spread.push(c);
                spread += &line(depth);
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                spread += &line(depth);
                spread.push(c);
            }
            ',' => {
                spread.push(c);
                spread += &line(depth);
            }
            ':' => spread += ": ",
            c if c.is_whitespace() => {}
            c => {
                in_text = c == '"';
                spread.push(c);
            }
        }
    }
    spread
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_spread_and_its_texts_stay() {
        let spread = spread(r#"{"city": "New \"{,:\\","daily":[{"t":1.5},{"t":-2}]}"#);

        let lines = [
            "{",
            r#"  "city": "New \"{,:\\","#,
            r#"  "daily": ["#,
            "    {",
            r#"      "t": 1.5"#,
            "    },",
            "    {",
            r#"      "t": -2"#,
            "    }",
            "  ]",
            "}",
        ];
        assert_eq!(spread, lines.join("\n"));
    }
}
