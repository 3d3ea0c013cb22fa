use http::Method;
use proptest::prelude::*;
use routes::{NotFound, Routes, diff};

use crate::{load, with_route, with_upstream};

/// Routes whose ids are their places in `paths`: method and path.
fn routes(paths: &[(&str, &str)]) -> Routes {
    let mut text = "version: 1\nroutes:\n".to_owned();
    for (n, (method, path)) in paths.iter().enumerate() {
        text.push_str(&format!(
            "- {{id: r{n}, match: {{method: {method}, path: '{path}'}}, stream: s, handler: external}}\n"
        ));
    }
    load(&text).expect("valid")
}

#[test]
fn a_literal_wins_over_a_parameter_over_the_rest() {
    let routes = routes(&[
        ("GET", "/{*all}"),
        ("GET", "/a/{x}"),
        ("GET", "/a/b"),
        ("GET", "/a/{*rest}"),
        ("GET", "/a/{x}/c/{y}"),
        ("GET", "/a/b/{z}"),
        ("GET", "/a/"),
        ("GET", "/"),
    ]);
    for (path, id, params) in [
        ("/", "r7", ""),
        ("/q", "r0", "all=q"),
        ("/q/", "r0", "all=q/"),
        ("//", "r0", "all=/"),
        ("/a", "r0", "all=a"),
        ("/a/", "r6", ""),
        ("/a/b", "r2", ""),
        ("/a/B", "r1", "x=B"),
        ("/a/%62", "r1", "x=%62"),
        ("/a/x%2Fy", "r1", "x=x%2Fy"),
        ("/a/b/", "r3", "rest=b/"),
        ("/a/b/c", "r5", "z=c"),
        ("/a/b/c/d", "r4", "x=b y=d"),
        ("/a/x/d", "r3", "rest=x/d"),
    ] {
        let found = routes.find(&Method::GET, path).expect(path);
        let shown: Vec<String> = found.params.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!((found.route.id.as_str(), shown.join(" ").as_str()), (id, params), "{path}");
    }
    assert_eq!(routes.find(&Method::GET, "").expect_err("no path"), NotFound::Path);
}

#[test]
fn an_unknown_method_learns_which_ones_there_are() {
    let routes =
        routes(&[("GET", "/a"), ("[PUT, POST]", "/a"), ("POST", "/b"), ("HEAD", "/a/b"), ("GET", "/a/b")]);

    let refused = |method: Method, path: &str| match routes.find(&method, path) {
        Err(NotFound::Method { allow }) => allow.iter().map(Method::as_str).collect::<Vec<_>>().join(", "),
        other => panic!("{other:?}"),
    };

    assert_eq!(refused(Method::DELETE, "/a"), "GET, HEAD, OPTIONS, POST, PUT");
    assert_eq!(refused(Method::GET, "/b"), "OPTIONS, POST");
    assert_eq!(refused(Method::HEAD, "/b"), "OPTIONS, POST");
    assert_eq!(routes.find(&Method::HEAD, "/a").expect("as GET").route.id, "r0");
    assert_eq!(routes.find(&Method::HEAD, "/a/b").expect("its own").route.id, "r3");
    assert_eq!(routes.methods_at("/c"), Vec::<Method>::new());
}

#[test]
fn media_types_are_compared_without_case_and_parameters() {
    let routes =
        load(&with_route("handler: external\nrequest: {content_types: [application/json, image/*]}"));
    let routes = routes.expect("valid");
    let request = &routes.routes[0].request;
    for (content_type, accepted) in [
        (Some("application/json"), true),
        (Some("Application/JSON; charset=utf-8"), true),
        (Some("image/png"), true),
        (Some("IMAGE/svg+xml"), true),
        (Some("imag"), false),
        (Some("text/plain"), false),
        (Some("application/jsonp"), false),
        (Some(""), false),
        (None, false),
    ] {
        assert_eq!(request.accepts(content_type), accepted, "{content_type:?}");
    }
}

#[test]
fn an_explanation_says_what_happens_and_why() {
    let routes = routes(&[("POST", "/orders/{customer}"), ("GET", "/{*rest}")]);

    let found = routes.explain(&Method::POST, "/orders/7?q=1").to_string();
    let refused = routes.explain(&Method::DELETE, "/orders/7").to_string();

    for line in ["route: r0\n", "params: customer=7\n", "stream: s\n", "timeout: 30s\n", "matched too: r1\n"]
    {
        assert!(found.contains(line), "{found}");
    }
    assert!(refused.starts_with("405: this path has OPTIONS, POST only\n"), "{refused}");
    assert!(routes.explain(&Method::GET, "q").to_string().starts_with("404: "));
}

#[test]
fn a_difference_names_the_rule_and_hides_secrets() {
    let billing = "url: http://a\nheaders: {set: {x-key: hunter2}}";
    let old = load(&with_upstream(billing)).expect("valid");
    for (text, expected) in [
        (with_upstream(&format!("# new\n{billing}")), ""),
        (
            with_upstream(&billing.replace("hunter2", "hunter3")),
            "~ upstream billing headers.set: other values",
        ),
        (with_upstream(&format!("{billing}\nconcurrency: 5")), "~ upstream billing concurrency: 64 → 5"),
        (
            with_upstream(billing).replace("stream: s", "stream: t"),
            "~ route a stream: s → t\n~ route a group: s-workers → t-workers",
        ),
        (with_upstream(billing).replace("id: a", "id: b"), "- route a\n+ route b"),
        (
            with_route("handler: external"),
            "- upstream billing\n~ route a handler: upstream billing at http://a/ → external",
        ),
    ] {
        let new = load(&text).expect("valid");
        let lines: Vec<String> = diff(&old, &new).iter().map(ToString::to_string).collect();
        assert_eq!(lines.join("\n"), expected, "{text}");
    }
}

/// The better of two patterns for a path, by the rule in words: compare segment by segment.
fn rank(pattern: &str) -> Vec<u8> {
    let kind = |segment: &str| match segment {
        _ if segment.starts_with("{*") => 2,
        _ if segment.starts_with('{') => 1,
        _ => 0,
    };
    pattern[1..].split('/').map(kind).collect()
}

proptest! {
    #[test]
    fn the_best_of_the_patterns_that_match_is_found(
        patterns in prop::collection::btree_set("(/(a|b|\\{x\\}|)){1,4}(/\\{\\*r\\})?", 1..12),
        path in "(/(a|b|c|)){0,6}",
    ) {
        // A pattern names each parameter once.
        let patterns: Vec<String> = patterns
            .into_iter()
            .map(|pattern| pattern.split('/').enumerate().map(|(n, s)| s.replace("{x}", &format!("{{x{n}}}"))).collect::<Vec<_>>().join("/"))
            .collect();
        let routes = routes(&patterns.iter().map(|pattern| ("GET", pattern.as_str())).collect::<Vec<_>>());
        let best = routes.routes.iter().filter(|route| route.path.matches(&path)).min_by_key(|route| rank(route.path.as_str()));

        let found = routes.find(&Method::GET, &path).ok();

        prop_assert_eq!(found.as_ref().map(|found| &found.route.id), best.map(|route| &route.id));
        if let Some(found) = found {
            let mut rebuilt = found.route.path.as_str().to_owned();
            for (name, value) in found.params {
                rebuilt = rebuilt.replace(&format!("{{{name}}}"), value).replace(&format!("{{*{name}}}"), value);
            }
            prop_assert_eq!(rebuilt, path);
        }
    }
}
