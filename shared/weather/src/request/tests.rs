use proptest::prelude::*;

use super::*;

fn parse(body: impl AsRef<[u8]>) -> Result<WeatherRequest, ParseError> {
    WeatherRequest::parse(body.as_ref())
}

fn request(city: &str, location: Option<&str>) -> WeatherRequest {
    WeatherRequest { city: city.to_owned(), location: location.map(str::to_owned) }
}

fn broken_fields(body: &str) -> Vec<&'static str> {
    match parse(body) {
        Err(ParseError::Invalid(violations)) => violations.iter().map(|v| v.field).collect(),
        other => panic!("{body}: {other:?}"),
    }
}

fn wrong_field(body: &str) -> Option<String> {
    match parse(body) {
        Err(ParseError::WrongShape { field, .. }) => field,
        other => panic!("{body}: {other:?}"),
    }
}

#[test]
fn a_request_is_trimmed_and_a_blank_location_is_none() {
    for (body, expected) in [
        (r#"{"city":"New York","location":"Downtown"}"#, request("New York", Some("Downtown"))),
        (r#" {"city":" Oslo\n","location":" \t"} "#, request("Oslo", None)),
        (r#"{"city":"Oslo","location":null}"#, request("Oslo", None)),
        (r#"{"city":"Oslo"}"#, request("Oslo", None)),
        (r#"{"location":" Sør ","city":"\u00c5"}"#, request("Å", Some("Sør"))),
    ] {
        assert_eq!(parse(body), Ok(expected), "{body}");
    }
}

#[test]
fn bytes_that_are_not_json_are_malformed() {
    let deep = format!("{{\"x\":{}", "[".repeat(100_000));
    for body in [
        &b""[..],
        b"   ",
        b"not json",
        b"{\"city\":\"Oslo\"",
        b"{\"city\":\"Oslo\"} trailing",
        b"{\"city\":\"Oslo\"}{\"city\":\"Oslo\"}",
        b"{\"city\":\"\xff\xfe\"}",
        b"{'city':'Oslo'}",
        b"{\"city\":\"\\ud800\"}",
        b"{\"city\":5,",
        b"\xef\xbb\xbf{\"city\":\"Oslo\"}",
        deep.as_bytes(),
    ] {
        let result = parse(body);
        assert!(matches!(result, Err(ParseError::Malformed(_))), "{result:?}");
    }
}

#[test]
fn the_error_for_another_shape_names_the_first_wrong_field() {
    let long = format!("{{\"{}\":1}}", "n".repeat(10_000));
    for (body, field) in [
        (r#"{"city":5}"#, Some("city")),
        (r#"{"city":null}"#, Some("city")),
        (r#"{"city":["Oslo"]}"#, Some("city")),
        (r#"{"city":"Oslo","location":{}}"#, Some("location")),
        (r#"{"location":"Downtown"}"#, Some("city")),
        (r#"{}"#, Some("city")),
        (r#"{"city":"Oslo","zip":"0150"}"#, Some("zip")),
        (r#"{"city":"Oslo","a`, expected b":1}"#, Some("a`, expected b")),
        (r#"{"city":"Oslo","city":"Bergen"}"#, Some("city")),
        (r#"{"City":"Oslo"}"#, Some("City")),
        (r#"["Oslo","Downtown"]"#, None),
        (r#"["Oslo",null]"#, None),
        ("[]", None),
        ("null", None),
        ("123456789012345678901234567890", None),
        (long.as_str(), Some("nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn")),
    ] {
        assert_eq!(wrong_field(body).as_deref(), field, "{body}");
    }
}

#[test]
fn the_error_lists_all_broken_rules() {
    let long = "x".repeat(101);

    let fields = broken_fields(&format!(r#"{{"city":"  ","location":"{long}\u0007"}}"#));

    assert_eq!(fields, ["city", "location", "location"]);
}

#[test]
fn lengths_count_characters_after_trimming_not_bytes() {
    let fits = "Å".repeat(100);

    let accepted = parse(format!(r#"{{"city":"  {fits}  ","location":"{fits}"}}"#));

    assert_eq!(accepted, Ok(request(&fits, Some(&fits))));
    assert_eq!(broken_fields(&format!(r#"{{"city":"{fits}Å"}}"#)), ["city"]);
}

#[test]
fn characters_that_falsify_logs_are_refused_but_not_joiners() {
    for c in ["\\u0000", "\\n", "\\u007f", "\\u0085", "\\u2028", "\\u2029", "\\u202e", "\\u2066", "\\ufeff"] {
        assert_eq!(broken_fields(&format!(r#"{{"city":"Os{c}lo"}}"#)), ["city"], "{c}");
    }
    for city in ["می\u{200C}خانه", "São Paulo", "St. John's", "東京", "'s-Hertogenbosch"] {
        assert_eq!(parse(format!(r#"{{"city":"{city}"}}"#)), Ok(request(city, None)));
    }
}

#[test]
fn an_error_reads_as_a_sentence() {
    for (body, text) in [
        (r#"{"city":""}"#, "`city` must not be empty"),
        (r#"{"city":1}"#, "`city` must be a string"),
        (r#"{"town":1}"#, "`town` is not a known field; there are `city` and `location`"),
        ("[]", "the body must be a JSON object"),
        ("", "the body is not JSON: EOF while parsing a value at line 1 column 0"),
    ] {
        assert_eq!(parse(body).expect_err(body).to_string(), text);
    }
}

proptest! {
    #[test]
    fn no_bytes_cause_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(bytes);
    }

    #[test]
    fn an_accepted_request_is_accepted_again(city in "\\PC{1,120}", location in proptest::option::of("\\PC{0,120}")) {
        let body = serde_json::to_vec(&WeatherRequest { city, location }).expect("encodes");
        if let Ok(first) = parse(body) {
            let again = parse(serde_json::to_vec(&first).expect("encodes"));
            prop_assert_eq!(again, Ok(first));
        }
    }
}

/// The pattern of a field in the schema.
fn pattern(field: &str) -> regex::Regex {
    let schema = serde_json::to_value(<WeatherRequest as utoipa::PartialSchema>::schema()).expect("JSON");
    let pattern = schema["properties"][field]["pattern"].as_str().expect("a pattern");
    regex::Regex::new(pattern).expect("a regular expression")
}

/// Whether `text` is accepted as city and as location.
fn accepted(text: &str) -> (bool, bool) {
    let broken = request(text, Some(text)).normalized().check().err().unwrap_or_default();
    let accepts = |field| broken.iter().all(|violation| violation.field != field);
    (accepts("city"), accepts("location"))
}

#[test]
fn schema_and_check_agree_on_each_character_and_length() {
    let (city, location) = (pattern("city"), pattern("location"));
    // These ranges contain all white space and invisible characters of Unicode.
    let characters = ('\0'..='\u{3100}').chain('\u{FE00}'..='\u{10000}');
    let lengths = [0, 1, 99, 100, 101].map(|length| "é".repeat(length));

    let texts = characters.flat_map(|c| [format!("{c}"), format!("{c}x"), format!("x{c}"), format!("x{c}x")]);
    let padded = lengths.iter().map(|text| format!("\t {text}\u{3000}\r\n"));
    for text in texts.chain(padded).chain(lengths.clone()) {
        assert_eq!((city.is_match(&text), location.is_match(&text)), accepted(&text), "{text:?}");
    }
}
