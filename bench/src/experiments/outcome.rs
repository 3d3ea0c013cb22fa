//! What a trial has shown, and where that is told.

use crate::document;
use crate::name::Trial;
use crate::options::Places;

/// What a trial has shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// What was seen, in Markdown.
    pub table: String,
    /// Each bound that was missed, as a sentence.
    pub missed: Vec<String>,
}

impl Outcome {
    /// Puts the table where the document has its markers.
    ///
    /// # Errors
    /// The document has no such markers, or cannot be read or written.
    pub fn write(&self, trial: Trial, places: &Places) -> anyhow::Result<()> {
        let (document, marker) = match trial {
            Trial::Overload => ("PERFORMANCE.md", "overload"),
            Trial::Durability => ("OPERATIONS.md", "durability"),
            Trial::LoadGenerator => ("PERFORMANCE.md", "wrk"),
            Trial::Streams => ("PERFORMANCE.md", "streams"),
            Trial::Chat => ("PERFORMANCE.md", "chat"),
            Trial::Events => ("PERFORMANCE.md", "events"),
        };
        let document = places.docs.join(document);
        document::put(&document, &[(marker.to_owned(), self.table.clone())])?;
        println!("written to {}", document.display());
        Ok(())
    }
}
