use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;

use crate::history::Wish;

/// One call of the load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedCall {
    /// When, from the start of the load.
    pub at: Duration,
    /// What for.
    pub wish: Wish,
    /// The city it names.
    pub city: String,
    /// The location it names: no other call has it.
    pub location: String,
    /// Which gateway, modulo how many there are.
    pub gateway: usize,
    /// Leaves after this, answered or not.
    pub leaves_after: Option<Duration>,
    /// What it sends.
    pub body: Body,
}

/// What a call sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body {
    /// `content-type`.
    pub media_type: &'static str,
    /// The body.
    pub text: String,
}

impl PlannedCall {
    /// A request for a forecast of `city`, as good ones are.
    pub fn good(at: Duration, wish: Wish, city: String, location: String, gateway: usize) -> Self {
        let text = json!({ "city": city, "location": location }).to_string();
        let body = Body { media_type: "application/json", text };
        Self { at, wish, city, location, gateway, leaves_after: None, body }
    }
}

/// Everything in the load has its share of a thousand.
const INVALID: u32 = 40;
const HANG_UPS: u32 = 40;
const POISON: u32 = 3;

/// The load of a run, without an end: `rate` calls a second, a few of them bad.
pub fn plan(seed: u64, rate: u32) -> impl Iterator<Item = PlannedCall> {
    let mut chance = StdRng::seed_from_u64(seed ^ 0x10ad);
    let period = Duration::from_secs(1) / rate.max(1);
    (0u32..).map(move |number| {
        let at = period * number + period.mul_f64(chance.random_range(0.0..1.0));
        let (city, location) = (format!("City {number}"), format!("Quarter {number}"));
        let call = |wish, city| PlannedCall::good(at, wish, city, location, number as usize);
        match chance.random_range(0..1_000) {
            share if share < INVALID => {
                PlannedCall { body: invalid(chance.random_range(0..5)), ..call(Wish::Invalid, city) }
            }
            share if share < INVALID + HANG_UPS => {
                let leaves_after = Some(Duration::from_millis(chance.random_range(1..30)));
                PlannedCall { leaves_after, ..call(Wish::HangUp, city) }
            }
            share if share < INVALID + HANG_UPS + POISON => {
                call(Wish::Poison, crate::POISON_PANIC.to_owned())
            }
            _ => call(Wish::Forecast, city),
        }
    })
}

fn invalid(which: u32) -> Body {
    let (media_type, text) = match which {
        0 => ("application/json", "{".to_owned()),
        1 => ("application/json", json!({ "city": 7 }).to_string()),
        2 => ("application/json", json!({ "city": "  " }).to_string()),
        3 => ("text/plain", json!({ "city": "Oslo" }).to_string()),
        _ => ("application/json", json!({ "city": "x".repeat(100_000) }).to_string()),
    };
    Body { media_type, text }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn one_seed_gives_one_load_and_each_call_its_own_location() {
        let calls: Vec<PlannedCall> = plan(7, 100).take(5_000).collect();

        assert_eq!(calls, plan(7, 100).take(5_000).collect::<Vec<_>>());
        assert_ne!(calls, plan(8, 100).take(5_000).collect::<Vec<_>>());
        let locations: HashSet<&str> = calls.iter().map(|call| call.location.as_str()).collect();
        assert_eq!(locations.len(), calls.len());
        for wish in [Wish::Forecast, Wish::HangUp, Wish::Invalid, Wish::Poison] {
            assert!(calls.iter().any(|call| call.wish == wish), "no {wish:?}");
        }
    }
}
