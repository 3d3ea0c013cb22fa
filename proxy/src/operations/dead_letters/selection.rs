use axum::Json;
use axum::extract::rejection::JsonRejection;
use jiff::Timestamp;
use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use service::http::ProblemAnswer;
use streamgate::stream::{DeadLetterFilter, EntryId};
use utoipa::ToSchema;

use super::{MOST, entry_id};
use crate::operations::refusals::{NEITHER, NOT_JSON};

/// Selects the dead letters that meet all conditions; without a condition, it selects every dead letter.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Filter {
    /// A part of the reason, in upper or lower case.
    #[schema(min_length = 1, max_length = 256, example = "undecodable")]
    pub(super) reason: Option<String>,
    /// The worker that gave it up.
    #[schema(min_length = 1, max_length = 256, example = "weather-worker-1")]
    pub(super) consumer: Option<String>,
    /// The correlation id of the request (its field `id`).
    #[schema(min_length = 1, max_length = 256, example = "019ab8f4-7c1d-7e52-9f4e-3a5d1c2b4e6f")]
    pub(super) request_id: Option<String>,
    /// Given up at this time or later (RFC 3339).
    #[schema(value_type = Option<String>, format = DateTime, example = "2026-11-21T10:00:00Z")]
    pub(super) since: Option<String>,
    /// Given up at this time or before (RFC 3339).
    #[schema(value_type = Option<String>, format = DateTime, example = "2026-11-21T11:00:00Z")]
    pub(super) until: Option<String>,
}

/// Dead letters by their ids.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ByIds {
    /// 1 to 500 ids.
    #[schema(min_items = 1, max_items = 500, value_type = Vec<EntryIdSchema>)]
    ids: Vec<String>,
}

/// Dead letters by conditions, the newest first.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ByFilter {
    /// The conditions; `{}` selects all.
    filter: Filter,
    /// Only those older than this id, which is `next` of the previous answer.
    #[schema(value_type = Option<EntryIdSchema>)]
    before: Option<String>,
    /// Most dead letters of one call, 1 to 500.
    #[serde(default = "ByFilter::default_limit", deserialize_with = "whole")]
    #[schema(minimum = 1, maximum = 500, default = 100)]
    limit: usize,
}

/// The id of an entry: milliseconds and a sequence number.
#[derive(Serialize, ToSchema)]
#[schema(as = EntryId, pattern = "^[0-9]{1,19}-[0-9]{1,19}$", example = "1763683200000-0")]
#[allow(dead_code)] // only its schema is used
pub(super) struct EntryIdSchema(String);

/// Selects dead letters either by their ids or by conditions.
#[derive(ToSchema)]
#[schema(as = Selection)]
#[serde(untagged)]
#[allow(dead_code)] // only its schema is used; see [`Selection`]
pub(super) enum SelectionSchema {
    /// By their ids.
    ByIds(ByIds),
    /// By conditions.
    ByFilter(ByFilter),
}

/// A checked selection.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Selection {
    /// The dead letters with these ids.
    Ids(Vec<EntryId>),
    /// The newest dead letters that match and are older than `before`.
    Matching { filter: DeadLetterFilter, before: Option<EntryId>, limit: usize },
}

impl ByFilter {
    fn default_limit() -> usize {
        100
    }
}

impl Selection {
    /// Reads the body of a request.
    pub(super) fn read(body: Result<Json<Map<String, Value>>, JsonRejection>) -> Result<Self, ProblemAnswer> {
        let Json(body) = body.map_err(refused)?;
        if body.contains_key("ids") {
            let ByIds { ids } = shaped(body)?;
            if !(1..=MOST).contains(&ids.len()) {
                return Err(unprocessable(format!("ids must be 1 to {MOST} of them")));
            }
            let ids: Result<_, _> = ids.iter().map(|id| entry_id("each of ids", id)).collect();
            return ids.map(Self::Ids).map_err(unprocessable);
        }
        if !body.contains_key("filter") {
            return Err(unprocessable(NEITHER));
        }
        let ByFilter { filter, before, limit } = shaped(body)?;
        if !(1..=MOST).contains(&limit) {
            return Err(unprocessable(format!("limit must be from 1 to {MOST}")));
        }
        let before = before.map(|id| entry_id("before", &id)).transpose().map_err(unprocessable)?;
        let filter = filter.checked().map_err(unprocessable)?;
        Ok(Self::Matching { filter, before, limit })
    }
}

impl Filter {
    /// The filter for the library, or the rule that a condition breaks.
    pub(super) fn checked(self) -> Result<DeadLetterFilter, String> {
        Ok(DeadLetterFilter {
            reason: text("reason", self.reason)?,
            consumer: text("consumer", self.consumer)?,
            field: text("requestId", self.request_id)?.map(|id| ("id".to_owned(), id)),
            since_ms: self.since.map(|text| instant("since", &text)).transpose()?.map(|since| {
                // A fraction rounds up to the next millisecond, since ids have whole milliseconds.
                u64::try_from((since.as_nanosecond().max(0) + NANOS_PER_MS - 1) / NANOS_PER_MS).unwrap_or(0)
            }),
            until_ms: self.until.map(|text| instant("until", &text)).transpose()?.map(|until| {
                // No entry has a time before 1970, so this filter finds nothing.
                u64::try_from(until.as_nanosecond().max(0) / NANOS_PER_MS).unwrap_or(0)
            }),
        })
    }
}

const NANOS_PER_MS: i128 = 1_000_000;

fn instant(name: &str, text: &str) -> Result<Timestamp, String> {
    text.parse().map_err(|_| format!("{name} must be a time such as 2026-11-21T10:00:00Z"))
}

/// The longest text of a condition, in characters.
const LONGEST: usize = 256;

fn text(name: &str, text: Option<String>) -> Result<Option<String>, String> {
    match text {
        Some(text) if !(1..=LONGEST).contains(&text.chars().count()) => {
            Err(format!("{name} must have 1 to {LONGEST} characters"))
        }
        text => Ok(text),
    }
}

fn shaped<T: DeserializeOwned>(body: Map<String, Value>) -> Result<T, ProblemAnswer> {
    serde_json::from_value(Value::Object(body)).map_err(|error| unprocessable(error.to_string()))
}

/// In JSON Schema, `100.0` is an integer as `100` is.
fn whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    let number = serde_json::Number::deserialize(deserializer)?;
    let in_range = |number: &f64| number.fract() == 0.0 && (0.0..=MOST as f64).contains(number);
    let whole = number.as_f64().filter(in_range);
    whole
        .map(|number| number as usize)
        .ok_or_else(|| D::Error::custom(format!("limit must be from 1 to {MOST}")))
}

fn unprocessable(detail: impl Into<String>) -> ProblemAnswer {
    ProblemAnswer::new(422, detail)
}

fn refused(rejection: JsonRejection) -> ProblemAnswer {
    let detail = match &rejection {
        JsonRejection::MissingJsonContentType(_) => NOT_JSON.to_owned(),
        JsonRejection::JsonSyntaxError(error) => format!("the body is not JSON: {}", innermost(error)),
        _ => rejection.body_text(),
    };
    ProblemAnswer::new(rejection.status().as_u16(), detail)
}

/// The error of the JSON parser, without the errors that wrap it.
fn innermost(error: &dyn std::error::Error) -> &dyn std::error::Error {
    std::iter::successors(Some(error), |error| error.source()).last().unwrap_or(error)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn limit(limit: Value) -> Result<usize, u16> {
        let Value::Object(body) = json!({"filter": {}, "limit": limit}) else { unreachable!() };
        match Selection::read(Ok(Json(body))) {
            Ok(Selection::Matching { limit, .. }) => Ok(limit),
            Ok(Selection::Ids(_)) => panic!("no ids were given"),
            Err(problem) => Err(problem.0.status),
        }
    }

    #[test]
    fn a_limit_is_a_whole_number_in_any_notation() {
        for (written, read) in [(json!(1), 1), (json!(328.0), 328), (json!(5e2), 500)] {
            assert_eq!(limit(written.clone()), Ok(read), "{written}");
        }
        for written in
            [json!(0), json!(0.0), json!(501), json!(1.5), json!(-1), json!(1e300), json!("1"), json!(null)]
        {
            assert_eq!(limit(written.clone()), Err(422), "{written}");
        }
    }
}
