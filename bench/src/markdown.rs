//! Tables in Markdown.

use std::fmt::Write;

/// The head of a table whose first `texts` columns are left-aligned.
pub(crate) fn head(heads: &[&str], texts: usize) -> String {
    let rules = heads.iter().enumerate().map(|(column, _)| if column < texts { " --- |" } else { " ---: |" });
    format!("| {} |\n|{}\n", heads.join(" | "), rules.collect::<String>())
}

/// Adds a row.
pub(crate) fn row(table: &mut String, cells: impl IntoIterator<Item = String>) {
    let cells: Vec<String> = cells.into_iter().collect();
    let _ = writeln!(table, "| {} |", cells.join(" | "));
}

/// A whole number with its thousands set apart.
pub(crate) fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().filter_map(|it| std::str::from_utf8(it).ok()).collect();
    groups.join(",")
}
