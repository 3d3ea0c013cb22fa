//! Putting what a run has seen into a document, in the place of what the run before has seen.

use std::fs;
use std::path::Path;

use anyhow::{Context, bail};

/// Puts each text between the markers of its name; everything else stays.
///
/// # Errors
/// The document has no such markers, or cannot be read or written.
pub fn put(document: &Path, blocks: &[(String, String)]) -> anyhow::Result<()> {
    let mut text =
        fs::read_to_string(document).with_context(|| format!("{} cannot be read", document.display()))?;
    for (name, block) in blocks {
        match replaced(&text, name, block) {
            Some(with) => text = with,
            None => bail!(
                "{} has no lines <!-- {name}: begin --> and <!-- {name}: end -->: put them where the result is to be",
                document.display()
            ),
        }
    }
    fs::write(document, text).with_context(|| format!("{} cannot be written", document.display()))
}

fn replaced(text: &str, name: &str, block: &str) -> Option<String> {
    let (begin, end) = (format!("<!-- {name}: begin -->"), format!("<!-- {name}: end -->"));
    let (before, rest) = text.split_once(&begin)?;
    let (_, after) = rest.split_once(&end)?;
    Some(format!("{before}{begin}\n{}\n{end}{after}", block.trim_end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_markers_of_that_name_changes() {
        let text = "a\n<!-- bench:x: begin -->\nold\n<!-- bench:x: end -->\nb\n<!-- bench:y: begin --><!-- bench:y: end -->";

        let with = replaced(text, "bench:x", "new\n").expect("the markers are there");

        assert_eq!(with, text.replace("old", "new"));
        assert_eq!(replaced(&with, "bench:x", "new"), Some(with.clone()));
        assert_eq!(replaced(text, "bench:z", "new"), None);
    }
}
