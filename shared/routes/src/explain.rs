//! What happens to a request, and what differs between two files, in words.

use std::collections::BTreeMap;
use std::fmt;

use http::Method;

use crate::file::units::{show_duration, show_size};
use crate::path::PathParams;
use crate::route::{Handler, Origins, Route};
use crate::table::NotFound;
use crate::upstream::Upstream;
use crate::{Found, Routes};

/// What happens to a request. It prints as lines of `key: value`.
#[derive(Debug)]
pub struct Explanation<'r, 'p> {
    /// The route and its parameters, or why there is none.
    pub result: Result<Found<'r, 'p>, NotFound>,
    /// The ids of the routes that match too but come after it, because they are less literal or have other methods.
    pub others: Vec<&'r str>,
}

impl Routes {
    /// What happens to a request for `target`, a path with or without a query.
    pub fn explain<'r, 'p>(&'r self, method: &Method, target: &'p str) -> Explanation<'r, 'p> {
        let path = target.split(['?', '#']).next().unwrap_or_default();
        let result = self.find(method, path);
        let taken = result.as_ref().ok().map(|found| found.route.id.as_str());
        let matching =
            self.routes.iter().filter(|route| route.path.matches(path)).map(|route| route.id.as_str());
        Explanation { others: matching.filter(|id| Some(*id) != taken).collect(), result }
    }
}

impl fmt::Display for Explanation<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.result {
            Ok(Found { route, params }) => {
                writeln!(f, "route: {}", route.id)?;
                writeln!(f, "params: {}", show_params(params))?;
                for (name, value) in facts_of_route(route) {
                    writeln!(f, "{name}: {value}")?;
                }
            }
            Err(NotFound::Path) => writeln!(f, "404: no route has this path")?,
            Err(NotFound::Method { allow }) => {
                let allow: Vec<&str> = allow.iter().map(Method::as_str).collect();
                writeln!(f, "405: this path has {} only", allow.join(", "))?;
            }
        }
        match &self.others[..] {
            [] => Ok(()),
            others => writeln!(f, "matched too: {}", others.join(", ")),
        }
    }
}

fn show_params(params: &PathParams<'_, '_>) -> String {
    let params: Vec<String> = params.iter().map(|(name, value)| format!("{name}={value}")).collect();
    if params.is_empty() { "none".to_owned() } else { params.join(" ") }
}

/// One difference between two files. It prints as one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// The new file has this route or upstream.
    Added {
        /// Such as "route orders".
        what: String,
    },
    /// The new file does not have this route or upstream.
    Removed {
        /// Such as "upstream billing".
        what: String,
    },
    /// A rule of it is another one.
    Changed {
        /// Such as "route orders".
        what: String,
        /// Such as "timeout".
        rule: &'static str,
        /// The value before.
        old: String,
        /// The value after.
        new: String,
    },
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Added { what } => write!(f, "+ {what}"),
            Self::Removed { what } => write!(f, "- {what}"),
            // Secrets are not shown, but a change of them is.
            Self::Changed { what, rule, old, new } if old == new => {
                write!(f, "~ {what} {rule}: other values")
            }
            Self::Changed { what, rule, old, new } => write!(f, "~ {what} {rule}: {old} → {new}"),
        }
    }
}

/// What differs: upstreams first, then routes, by name. Empty if both mean the same.
pub fn diff(old: &Routes, new: &Routes) -> Vec<Difference> {
    let mut all = compare("upstream", &parts_of_upstreams(old), &parts_of_upstreams(new));
    for (name, before) in &old.upstreams {
        // Values of `headers.set` are no facts, because facts are shown.
        if let Some(after) = new.upstreams.get(name)
            && facts_of_upstream(before) == facts_of_upstream(after)
            && before != after
        {
            let names = show_names(before);
            let what = format!("upstream {name}");
            all.push(Difference::Changed { what, rule: "headers.set", old: names.clone(), new: names });
        }
    }
    all.extend(compare("route", &parts_of_routes(old), &parts_of_routes(new)));
    all
}

type Facts = Vec<(&'static str, String)>;

fn parts_of_routes(routes: &Routes) -> BTreeMap<&str, Facts> {
    routes.routes.iter().map(|route| (route.id.as_str(), facts_of_route(route))).collect()
}

fn parts_of_upstreams(routes: &Routes) -> BTreeMap<&str, Facts> {
    routes.upstreams.iter().map(|(name, upstream)| (name.as_str(), facts_of_upstream(upstream))).collect()
}

fn compare(kind: &str, old: &BTreeMap<&str, Facts>, new: &BTreeMap<&str, Facts>) -> Vec<Difference> {
    let what = |name: &str| format!("{kind} {name}");
    let mut all: Vec<Difference> = old
        .keys()
        .filter(|name| !new.contains_key(*name))
        .map(|name| Difference::Removed { what: what(name) })
        .collect();
    for (name, facts) in new {
        let Some(before) = old.get(name) else {
            all.push(Difference::Added { what: what(name) });
            continue;
        };
        let pairs = before.iter().zip(facts).filter(|(before, after)| before != after);
        all.extend(pairs.map(|((rule, old), (_, new))| Difference::Changed {
            what: what(name),
            rule,
            old: old.clone(),
            new: new.clone(),
        }));
    }
    all
}

/// Everything a route says, in the order of the file; the same rules for each route.
fn facts_of_route(route: &Route) -> Facts {
    let list =
        |items: Vec<&str>, none: &str| if items.is_empty() { none.to_owned() } else { items.join(" ") };
    let request = &route.request;
    let schema = |schema: &Option<crate::BodySchema>| {
        schema
            .as_ref()
            .map_or_else(|| "none".to_owned(), |schema| format!("{} ({})", schema.path(), schema.version()))
    };
    vec![
        ("match", format!("{} {}", list(route.methods.iter().map(Method::as_str).collect(), ""), route.path)),
        ("summary", route.summary.clone().unwrap_or_else(|| "none".to_owned())),
        ("stream", route.queue().to_string()),
        ("group", route.group.clone()),
        (
            "handler",
            match &route.handler {
                Handler::Weather => "weather".to_owned(),
                Handler::External => "external".to_owned(),
                Handler::Upstream(upstream) => format!("upstream {} at {}", upstream.name, upstream.url),
            },
        ),
        ("timeout", show_duration(route.timeout)),
        ("priority", route.priority.as_str().to_owned()),
        ("delivery", route.delivery.as_str().to_owned()),
        ("auth", route.auth.as_str().to_owned()),
        ("scopes", list(route.scopes.iter().map(String::as_str).collect(), "none")),
        (
            "cors",
            route.cors.as_ref().map_or_else(
                || "off".to_owned(),
                |cors| {
                    let origins = match &cors.origins {
                        Origins::Any => vec!["*"],
                        Origins::Only(origins) => {
                            origins.iter().filter_map(|origin| origin.to_str().ok()).collect()
                        }
                    };
                    let headers = list(cors.headers.iter().map(|name| name.as_str()).collect(), "none");
                    format!(
                        "{}, headers {headers}, max_age {}",
                        list(origins, ""),
                        show_duration(cors.max_age)
                    )
                },
            ),
        ),
        ("request.content_types", list(request.content_types.iter().map(String::as_str).collect(), "all")),
        ("request.body_limit", show_size(request.body_limit as u64)),
        ("request.schema", schema(&request.schema)),
        ("request.headers", list(request.headers.iter().map(|name| name.as_str()).collect(), "none")),
        ("reply.schema", schema(&route.reply.schema)),
        ("reply.check", route.reply.check.as_str().to_owned()),
    ]
}

fn facts_of_upstream(upstream: &Upstream) -> Facts {
    let pass: Vec<&str> = upstream.headers.pass.iter().map(|name| name.as_str()).collect();
    let breaker = &upstream.breaker;
    vec![
        ("url", upstream.url.to_string()),
        ("concurrency", upstream.concurrency.to_string()),
        ("connect", show_duration(upstream.connect)),
        ("timeout", show_duration(upstream.timeout)),
        ("idempotent", upstream.idempotent.to_string()),
        ("honours_idempotency_key", upstream.honours_idempotency_key.to_string()),
        ("headers.pass", if pass.is_empty() { "none".to_owned() } else { pass.join(" ") }),
        ("headers.set", show_names(upstream)),
        ("breaker", format!("{}% of {}, open {}", breaker.failures, breaker.of, show_duration(breaker.open))),
        ("reply.body_limit", show_size(upstream.reply_body_limit as u64)),
    ]
}

/// The names of the fields that are set, never their values.
fn show_names(upstream: &Upstream) -> String {
    let names: Vec<&str> = upstream.headers.set.iter().map(|(name, _)| name.as_str()).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(" ") }
}
