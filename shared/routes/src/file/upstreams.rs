//! Upstreams from their sections.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::{HeaderName, HeaderValue};

use super::rules;
use super::section::{Scalar, Section};
use crate::upstream::{Breaker, HeaderPolicy, Upstream};

/// The upstreams that are right, by name.
pub(super) fn upstreams(file: &Section) -> BTreeMap<String, Arc<Upstream>> {
    let right = file.named("upstreams").iter().filter_map(|(name, section)| upstream(&name.text, section));
    right.map(|upstream| (upstream.name.clone(), Arc::new(upstream))).collect()
}

fn upstream(name: &str, section: &Section) -> Option<Upstream> {
    let headers = section.section("headers")?;
    let breaker = section.section("breaker")?;
    Some(Upstream {
        name: name.to_owned(),
        url: rules::url(&section.text("url")?.text).ok()?,
        concurrency: section.number("concurrency") as usize,
        connect: section.duration("connect")?,
        timeout: section.duration("timeout")?,
        idempotent: section.flag("idempotent"),
        honours_idempotency_key: section.flag("honours_idempotency_key"),
        headers: HeaderPolicy { pass: header_names(headers.texts("pass")), set: set(headers) },
        breaker: Breaker {
            failures: breaker.number("failures") as u8,
            of: breaker.number("of") as u32,
            open: breaker.duration("open")?,
        },
        reply_body_limit: section.section("reply")?.number("body_limit") as usize,
    })
}

/// The names of header fields in lower case, sorted, each once.
pub(super) fn header_names(texts: &[Scalar]) -> Vec<HeaderName> {
    let mut names: Vec<HeaderName> = texts.iter().filter_map(|name| name.text.parse().ok()).collect();
    names.sort_by(|a, b| a.as_str().cmp(b.as_str()));
    names.dedup();
    names
}

fn set(headers: &Section) -> Vec<(HeaderName, HeaderValue)> {
    let fields = headers.fields("set").iter().filter_map(|(name, value)| {
        let mut value = HeaderValue::from_str(&value.text).ok()?;
        value.set_sensitive(true);
        Some((name.text.parse().ok()?, value))
    });
    fields.collect()
}
