//! Problem details that an operation sends and that its OpenAPI description shows as an example.

/// Detail for a body whose content-type is not JSON.
pub(super) const NOT_JSON: &str = "send the body with content-type application/json";

/// Detail for a body with neither `ids` nor `filter`.
pub(super) const NEITHER: &str = "name the dead letters by ids or by a filter";
