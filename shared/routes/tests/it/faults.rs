use crate::{Folder, faults, lines, load, with_route, with_upstream};

#[test]
fn every_fault_is_found_with_its_place() {
    let text = "version: 1\n\
                defaults:\n\
                \x20 timeuot: 30s\n\
                routes:\n\
                \x20 - id: a\n\
                \x20   match: {method: PSOT, path: orders}\n\
                \x20   stream: two words\n\
                \x20   timeout: \"30\"\n\
                \x20   upstream: biling\n\
                \x20   request: {schema: order.json}\n\
                \x20 - id: a\n\
                \x20   match: {method: GET}\n\
                \x20   upstream: billing\n\
                upstreams:\n\
                \x20 billing: {url: billing, breaker: {open: 5}}\n";

    let found = faults(text);

    let expected = [
        "3:3 timeuot is not a key; did you mean timeout?",
        "6:21 method: \"PSOT\" must be one of GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS; did you mean POST?",
        "6:33 path: \"orders\" must start with /",
        "7:13 stream: \"two words\" must be 1 to 256 visible ASCII characters without spaces, with at most one {hash tag}",
        "8:14 timeout: \"30\" has no unit; write 30s",
        "9:15 upstream: \"biling\" is not in upstreams; did you mean billing?",
        "10:23 schema: \"order.json\" must be a file that can be read: No such file or directory (os error 2)",
        "11:5 stream is missing: the Redis stream that its requests wait on",
        "11:9 id: \"a\" is taken in line 5",
        "12:12 path is missing: literal segments, {name} for one segment, {*name} at the end for the rest",
        "15:18 url: \"billing\" must be an address such as http://billing:8080 or https://api.example.org/v2",
        "15:43 open: \"5\" has no unit; write 5s",
    ];
    assert_eq!(found, expected, "{found:#?}");
}

#[test]
fn a_fault_prints_as_file_line_and_column() {
    let folder = Folder::with(&[("routes.yaml", &with_route("handler: external\ntimeout: \"30\""))]);

    let text = folder.load("routes.yaml").expect_err("no unit").to_string();

    assert!(text.ends_with("/routes.yaml:7:14 timeout: \"30\" has no unit; write 30s"), "{text}");
}

#[test]
fn each_rule_for_a_route_is_held() {
    for (keys, fault) in [
        ("handler: external\nupstream: b", "6:5 a route has handler or upstream, not both"),
        ("group: g", "3:5 upstream is missing: name one of upstreams"),
        ("handler: wether", "6:14 handler: \"wether\" must be weather, external; did you mean weather?"),
        ("handler: external\ntimeout: 11m", "7:14 timeout: \"11m\" must be 10ms to 10m"),
        ("handler: external\ntimeout: 5 minutes", "7:14 timeout: \"5 minutes\" must be a duration"),
        ("handler: external\ntimeout: [5s]", "7:14 timeout must be a single value, not a list"),
        ("handler: external\ntimeout:", "7:12 timeout must be a single value, not nothing"),
        ("handler: external\nbody_limit: 1MiB", "7:5 body_limit belongs below request"),
        ("handler: external\nrequest: {body_limit: 9MiB}", "7:27 body_limit: \"9MiB\" must be at most 8MiB"),
        (
            "handler: external\nrequest: {body_limit: 64K}",
            "7:27 body_limit: \"64K\" must be a size with its unit",
        ),
        (
            "handler: external\nrequest: {body_limit: 65536}",
            "7:27 body_limit: \"65536\" has no unit; write 65536B",
        ),
        (
            "handler: external\nrequest: {content_types: json}",
            "7:30 content_types: \"json\" must be a media type",
        ),
        ("handler: external\nrequest: {headers: [host]}", "7:25 headers: \"host\" must not be a field that"),
        (
            "handler: external\nrequest: [a]",
            "7:14 must be a group of keys (content_types, schema, body_limit, headers), not a list",
        ),
        ("handler: external\nreply: {check: log}", "7:13 check needs a schema of the reply"),
        ("handler: external\nauth: none\nscopes: [a]", "8:5 scopes need an API key"),
        (
            "handler: external\nauth: apikey",
            "7:11 auth: \"apikey\" must be if-configured, api-key, none; did you mean api-key?",
        ),
        ("handler: external\nscopes: []", "7:13 scopes must not be an empty list"),
        (
            "handler: external\ncors: {origins: https://a.org/}",
            "7:21 origins: \"https://a.org/\" must be * or an origin",
        ),
        (
            "handler: external\ncors: {origins: 'https://A.org'}",
            "7:21 origins: \"https://A.org\" must be * or an origin",
        ),
        ("handler: external\ncors: {origins: ['*', 'https://a.org']}", "7:12 origins must be * alone"),
        ("handler: external\ngroup: ''", "7:12 group: \"\" must be"),
        ("handler: external\nid: b", "7:5 id is given twice, first in line 3"),
        ("handler: external\nid: a/b", "7:5 id is given twice"),
        (
            "handler: external\ndurable: on-request",
            "7:5 durable is not available yet: this version has no durable requests",
        ),
        ("handler: external\nidempotency: required", "7:5 idempotency is not available yet"),
        ("handler: external\ndeadline: 2h", "7:5 deadline is not available yet"),
        ("handler: external\ncallback: true", "7:5 callback is not available yet"),
        ("handler: external\ncallback: yes", "7:15 callback: \"yes\" must be true or false"),
        (
            "handler: external\nsummary: ${NONE}",
            "7:14 summary: \"${NONE}\" needs the variable NONE, which is not set",
        ),
        ("handler: external\nsummary: $5", "7:14 summary: \"$5\" has a lone $"),
        ("handler: external\nsummary: ${5}", "7:14 summary: \"${5}\" has ${5}: write ${NAME}"),
        ("handler: external\nsummary: '${A'", "7:14 summary: \"${A\" has ${ without its }"),
        (
            "handler: external\nsummary: ${file:no}",
            "7:14 summary: \"${file:no}\" names the file no, which must be a file that can be read",
        ),
        ("handler: external\nsummary: ${file:/dev/zero}", "which must be a regular file"),
        ("handler: external\n<<: {timeout: 5s}", "7:5 << is not a key; the keys here are id, summary,"),
    ] {
        let found = faults(&with_route(keys));
        assert!(found.len() == 1 && found[0].contains(fault), "{keys}: {found:?}");
    }
}

#[test]
fn each_rule_for_an_upstream_is_held() {
    for (keys, fault) in [
        ("concurrency: 5", "9:5 url is missing: its address"),
        ("url: ftp://a", "9:10 url: \"ftp://a\" must be an address"),
        ("url: 'http://'", "must be an address"),
        ("url: http://a:0", "must be an address"),
        ("url: http://u:p@a", "must not have credentials"),
        ("url: http://a/?q=1", "must not have a query"),
        ("url: http://a\nconcurrency: 0", "10:18 concurrency: \"0\" must be a number from 1 to 10000"),
        ("url: http://a\nconcurency: 1", "10:5 concurency is not a key; did you mean concurrency?"),
        ("url: http://a\nbreaker: {failures: 50}", "10:25 failures: \"50\" has no unit; write 50%"),
        ("url: http://a\nbreaker: {failures: 0%}", "10:25 failures: \"0%\" must be 1% to 100%"),
        ("url: http://a\nheaders: {set: {host: b}}", "10:21 \"host\" must not be a field"),
        ("url: http://a\nheaders: {set: {X-A: b, x-a: c}}", "10:29 x-a is given twice, first in line 10"),
        (
            "url: http://a\nheaders: {set: {x-a: \"b\\nc\"}}",
            "10:26 x-a: \"b\\nc\" must be the value of a header field",
        ),
        ("url: http://a\nheaders: {pass: [Transfer-Encoding]}", "10:22 pass: \"Transfer-Encoding\" must not"),
    ] {
        let found = faults(&with_upstream(keys));
        assert!(found.len() == 1 && found[0].contains(fault), "{keys}: {found:?}");
    }
}

#[test]
fn paths_that_cannot_be_routes_are_refused() {
    for (path, rule) in [
        ("", "must start with /"),
        ("a", "must start with /"),
        ("/a/{b", "must have each parameter as a whole segment"),
        ("/a{b}", "must have each parameter as a whole segment"),
        ("/{}", "must name its parameters"),
        ("/{*}", "must name its parameters"),
        ("/{1}", "must name its parameters"),
        ("/{a-b}", "must name its parameters"),
        ("/{*a}/b", "must have {*rest} at its end only"),
        ("/{a}/{a}", "must not name a parameter twice"),
        ("/a?b", "must have only characters of a path"),
        ("/a b", "must have only characters of a path"),
        ("/é", "must have only characters of a path"),
        ("/a/../b", "must not have the segments . and .."),
        ("/healthz", "must not be a path of the gateway itself"),
        ("/swagger", "must not be a path of the gateway itself"),
        ("/swagger/a", "must not be a path of the gateway itself"),
        ("/requests/{id}", "must not be a path of the gateway itself"),
    ] {
        let found = faults(&with_route("handler: external").replace("path: /a", &format!("path: '{path}'")));
        assert!(
            found.len() == 1 && found[0].starts_with("4:33 path: ") && found[0].contains(rule),
            "{path}: {found:?}"
        );
    }
}

/// A file of routes: method, path and keys of each, one per line from line 3 on.
fn several(routes: &[(&str, &str, &str)]) -> String {
    let mut text = "version: 1\nroutes:\n".to_owned();
    for (n, (method, path, keys)) in routes.iter().enumerate() {
        text.push_str(&format!("- {{id: r{n}, match: {{method: {method}, path: '{path}'}}, {keys}}}\n"));
    }
    text
}

#[test]
fn routes_that_take_the_same_requests_name_both_lines() {
    let own = "stream: s, handler: external";
    for (a, b, conflict) in [
        (("GET", "/a"), ("GET", "/a"), true),
        (("GET", "/{a}/b"), ("GET", "/{c}/b"), true),
        (("GET", "/{*a}"), ("GET", "/{*b}"), true),
        (("[GET, PUT]", "/a"), ("[POST, PUT]", "/a"), true),
        (("GET", "/a"), ("POST", "/a"), false),
        (("GET", "/a"), ("HEAD", "/a"), false),
        (("GET", "/a"), ("GET", "/{a}"), false),
        (("GET", "/{a}"), ("GET", "/{*a}"), false),
        (("GET", "/a"), ("GET", "/a/"), false),
    ] {
        let result = load(&several(&[(a.0, a.1, own), (b.0, b.1, own)]));
        match result {
            Ok(_) => assert!(!conflict, "{a:?} and {b:?}"),
            Err(faults) => {
                let found = lines(faults);
                let named = found[0].starts_with("4:")
                    && found[0].ends_with("takes the same requests as the route r0 in line 3");
                assert!(conflict && found.len() == 1 && named, "{a:?} and {b:?}: {found:?}");
            }
        }
    }
}

#[test]
fn routes_of_one_stream_agree_about_its_workers() {
    for (a, b, fault) in [
        ("stream: s, handler: weather", "stream: s, handler: external", "has other workers"),
        (
            "stream: s, handler: external",
            "stream: s, group: g, handler: external",
            "its stream has another group in line 3",
        ),
        (
            "stream: s, handler: external",
            "stream: s.high, handler: external",
            "4:46 stream: the stream in line 3 has this name for a priority",
        ),
        ("stream: 's:dlq', handler: external", "stream: s, handler: external", "must not end with :dlq"),
    ] {
        let found = faults(&several(&[("GET", "/a", a), ("GET", "/b", b)]));
        assert!(found.len() == 1 && found[0].contains(fault), "{a} and {b}: {found:?}");
    }
}

#[test]
fn texts_that_are_no_file_of_routes_are_refused() {
    let deep = format!("version: 1\nroutes: {}{}", "[".repeat(200), "]".repeat(200));
    let many = format!("version: 1\nroutes:\n{}", "- {id: a}\n".repeat(1_001));
    let bomb = "version: 1\na: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n\
                d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\nroutes: *f\n";
    for (text, fault) in [
        ("", "1:1 version is missing"),
        ("- a", "1:1 must be a group of keys ($schema, version, defaults, routes, upstreams), not a list"),
        ("version: 2\nroutes: []", "1:10 version: \"2\" must be 1"),
        ("version: 1\nroutes: []", "2:1 routes must hold at least one route"),
        ("version: 1\nroutes: {}", "2:9 routes must be a list, not a group of keys"),
        ("version: 1\n  routes: []", "2:9 is not YAML: "),
        ("version: 1\nroutes:\n\t- a", "3:2 is not YAML: "),
        ("version: !v 1", "1:13 tags such as !name are not used here"),
        ("version: 1\n---\nversion: 1", "2:1 a file has one document"),
        ("? {a: 1}\n: 2", "1:8 a key must be a text, not a group of keys"),
        ("version: *a", "is not YAML: "),
        ("version: &a [*a]", "an alias must not stand inside its own anchor"),
        (&deep, "nested more than 32 deep"),
        (&many, "a file has at most 1000 routes"),
        (bomb, "aliases repeat too much"),
    ] {
        let found = faults(text);
        assert!(found.iter().any(|found| found.contains(fault)), "{fault}: {found:?}");
    }
}

#[test]
fn faults_of_toml_have_places_too() {
    for (text, fault) in [
        ("version = 1\nroutes = [", "2:11 is not TOML: "),
        ("version = 2\nroutes = []", "1:11 version: \"2\" must be 1"),
        (
            "version = 1\n[[routes]]\nid = \"a\"\nstreem = \"s\"",
            "4:1 streem is not a key; did you mean stream?",
        ),
        ("version = 1\n[[routes]]\nid = \"a\"\ntimeout = 30", "4:11 timeout: \"30\" has no unit; write 30s"),
        ("version = 1\n[[routes]]\nid = \"a\"\n", "2:1 stream is missing"),
        ("version = 1\n[upstreams.b]\nurl = \"b\"", "3:7 url: \"b\" must be an address"),
        (
            "version = 1\n[upstreams.b]\nheaders.set.x-a = 1979-05-27\nreply.body_limit = 1",
            "4:20 body_limit: \"1\" has no unit",
        ),
    ] {
        let folder = Folder::with(&[("routes.toml", text)]);
        let found = lines(folder.load("routes.toml").expect_err(text));
        assert!(found.iter().any(|found| found.starts_with(fault)), "{fault}: {found:?}");
    }
}

#[test]
fn a_path_that_is_no_text_file_is_refused_without_waiting() {
    let folder = Folder::with(&[("huge.yaml", &"#".repeat((1 << 20) + 1))]);
    std::fs::write(folder.path("bytes.yaml"), b"\xff").expect("written");
    for (name, fault) in [
        ("none.yaml", "must be a file that can be read: No such file"),
        ("", "must be a regular file"),
        ("/dev/zero", "must be a regular file"),
        ("huge.yaml", "must be at most 1048576 bytes long"),
        ("bytes.yaml", "must be text in UTF-8"),
    ] {
        let found = lines(folder.load(name).expect_err(name));
        assert!(found.len() == 1 && found[0].starts_with(fault), "{name}: {found:?}");
    }
}

#[test]
fn a_file_of_nonsense_reports_a_bounded_number_of_faults() {
    let mut text = "version: 1\n".to_owned();
    (0..20_000).for_each(|n| text.push_str(&format!("key{n}: 1\n")));

    let found = faults(&text);

    assert_eq!((found.len(), found[500].as_str()), (501, "has 19501 more faults"));
}
