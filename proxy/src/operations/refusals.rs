//! What callers are told by an operation and, as an example, by its description.

/// What to do about a body that is not announced as JSON.
pub(super) const NOT_JSON: &str = "send the body with content-type application/json";

/// What to do about a selection that selects nothing.
pub(super) const NEITHER: &str = "name the dead letters by ids or by a filter";
