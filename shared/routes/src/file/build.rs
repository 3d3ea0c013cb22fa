//! Routes from their sections, and the rules that need more than one key.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use http::{HeaderValue, Method};
use streamgate::stream::StreamKey;

use super::Loaded;
use super::keys;
use super::node::{Node, Place, Value};
use super::rules;
use super::section::{Reader, Scalar, Section, short};
use super::sources::Sources;
use super::upstreams::{header_names, upstreams};
use crate::path::PathPattern;
use crate::route::{
    Auth, Check, Cors, Delivery, Durability, Durable, Handler, Idempotency, Origins, Priority, ReplyRules,
    RequestRules, Route,
};
use crate::schema::BodySchema;
use crate::upstream::Upstream;

/// The most routes of a file.
const MOST: usize = 1_000;

/// Builds what the file says. What is wrong becomes a fault of `reader`, and is missing here.
pub(super) fn build(node: &Node, folder: &Path, sources: &Arc<Sources>, reader: &mut Reader<'_>) -> Loaded {
    // Read first, because routes inherit from it. Its faults are found again with the file, and reported once.
    let nothing = Node { at: node.at, value: Value::Empty };
    let defaults = reader.section(node.get("defaults").unwrap_or(&nothing), &keys::DEFAULTS, None);
    let file = reader.section(node, &keys::FILE, Some(&defaults));
    let upstreams = upstreams(&file);
    let sections = file.sections("routes");
    if sections.is_empty() && file.given("routes") {
        reader.fault(file.place("routes"), "routes must hold at least one route");
    }
    if sections.len() > MOST {
        reader.fault(file.place("routes"), format!("a file has at most {MOST} routes"));
    }
    let mut builder = Builder {
        file: &file,
        upstreams: &upstreams,
        folder,
        sources,
        schemas: HashMap::new(),
        taken: Taken::default(),
    };
    let routes = sections.iter().take(MOST).filter_map(|section| builder.route(section, reader)).collect();
    builder.taken.check_priorities(reader);
    Loaded { routes, upstreams }
}

struct Builder<'a> {
    file: &'a Section,
    upstreams: &'a BTreeMap<String, Arc<Upstream>>,
    folder: &'a Path,
    sources: &'a Arc<Sources>,
    /// Each schema is compiled once. `None` is a fault that was reported.
    schemas: HashMap<String, Option<BodySchema>>,
    taken: Taken,
}

impl Builder<'_> {
    fn route(&mut self, section: &Section, reader: &mut Reader<'_>) -> Option<Route> {
        let id = section.text("id");
        if let Some(id) = id {
            self.taken.id(id, reader);
        }
        let matching = section.section("match");
        let methods = matching.map(|matching| methods(matching.texts("method"))).unwrap_or_default();
        let path = matching.and_then(|matching| matching.text("path"));
        let pattern: Option<PathPattern> = path.and_then(|path| path.text.parse().ok());
        if let (Some(path), Some(pattern)) = (path, &pattern) {
            self.taken.paths(path, pattern, &methods, id, reader);
        }
        let handler = self.handler(section, reader);
        let stream: Option<StreamKey> = section.text("stream").and_then(|stream| stream.text.parse().ok());
        let group = group(section, stream.as_ref(), reader);
        if let (Some(stream), Some(group)) = (&stream, &group) {
            let external = matches!(handler, Some(Handler::External));
            self.taken.stream(section, stream, group, external, reader);
        }
        let request = self.request(section, handler.as_ref(), reader);
        let reply = self.reply(section, reader);
        let auth = Auth::named(section.choice("auth"));
        if auth == Auth::None && section.given("scopes") {
            reader.fault(
                section.place("scopes"),
                "scopes need an API key: leave out auth: none, or the scopes",
            );
        }
        Some(Route {
            durability: durability(section, reader),
            cors: section.section("cors").and_then(|section| cors(section, reader)),
            id: id?.text.clone(),
            summary: section.text("summary").map(|summary| summary.text.clone()),
            methods,
            path: pattern?,
            stream: stream?,
            group: group?,
            timeout: section.duration("timeout")?,
            request: request?,
            reply: reply?,
            delivery: Delivery::named(section.choice("delivery")),
            handler: handler?,
            priority: Priority::named(section.choice("priority")),
            auth,
            scopes: section.texts("scopes").iter().map(|scope| scope.text.clone()).collect(),
        })
    }

    fn handler(&self, section: &Section, reader: &mut Reader<'_>) -> Option<Handler> {
        match (section.given("handler"), section.given("upstream")) {
            (true, true) => {
                let at = section.place("handler");
                reader.fault(at, "a route has handler or upstream, not both");
            }
            (false, false) => reader.fault(
                section.at,
                "upstream is missing: name one of upstreams (or write handler: weather, or handler: external)",
            ),
            _ => {}
        }
        if let Some(handler) = section.text("handler") {
            return Some(if handler.text == "weather" { Handler::Weather } else { Handler::External });
        }
        let name = section.text("upstream")?;
        if let Some(upstream) = self.upstreams.get(&name.text) {
            return Some(Handler::Upstream(upstream.clone()));
        }
        let named = self.file.named("upstreams");
        // One that is there but wrong has a fault of its own.
        if named.iter().all(|(known, _)| known.text != name.text) {
            let hint = match named.iter().find(|(known, _)| rules::is_near(&name.text, &known.text)) {
                Some((known, _)) => format!("; did you mean {}?", known.text),
                None => String::new(),
            };
            reader
                .fault(name.at, format!("upstream: \"{}\" is not in upstreams{hint}", short(&name.written)));
        }
        None
    }

    fn request(
        &mut self,
        route: &Section,
        handler: Option<&Handler>,
        reader: &mut Reader<'_>,
    ) -> Option<RequestRules> {
        let section = route.section("request")?;
        let schema = self.schema(section, reader);
        let mut content_types: Vec<String> =
            section.texts("content_types").iter().map(|text| text.text.to_ascii_lowercase()).collect();
        if section.given("schema") {
            let is_json = |kind: &String| kind == "application/json" || kind.ends_with("+json");
            if !content_types.iter().all(is_json) {
                let at = section.place("content_types");
                reader.fault(
                    at,
                    "content_types must be application/json or end with +json, because there is a schema",
                );
            }
            if content_types.is_empty() {
                content_types.push("application/json".to_owned());
            }
        }
        let mut headers = header_names(section.texts("headers"));
        if let Some(Handler::Upstream(upstream)) = handler {
            headers.extend(upstream.headers.pass.iter().cloned());
            headers.sort_by(|a, b| a.as_str().cmp(b.as_str()));
            headers.dedup();
        }
        Some(RequestRules {
            body_limit: section.number("body_limit") as usize,
            content_types,
            schema,
            headers,
        })
    }

    fn reply(&mut self, route: &Section, reader: &mut Reader<'_>) -> Option<ReplyRules> {
        let section = route.section("reply")?;
        let check = Check::named(section.choice("check"));
        if check != Check::Off && !section.given("schema") {
            reader.fault(section.place("check"), "check needs a schema of the reply");
        }
        Some(ReplyRules { schema: self.schema(section, reader), check })
    }

    fn schema(&mut self, section: &Section, reader: &mut Reader<'_>) -> Option<BodySchema> {
        let path = section.text("schema")?;
        if let Some(known) = self.schemas.get(&path.text) {
            return known.clone();
        }
        let compiled = BodySchema::compile(self.folder, &path.text, self.sources);
        if let Err(rule) = &compiled {
            reader.fault(path.at, format!("schema: \"{}\" {rule}", short(&path.written)));
        }
        self.schemas.insert(path.text.clone(), compiled.as_ref().ok().cloned());
        compiled.ok()
    }
}

/// What routes have taken, and in which line.
#[derive(Default)]
struct Taken {
    ids: HashMap<String, usize>,
    paths: HashMap<(String, Method), (usize, String)>,
    streams: BTreeMap<StreamKey, Stream>,
}

struct Stream {
    at: Place,
    group: String,
    external: bool,
}

impl Taken {
    fn id(&mut self, id: &Scalar, reader: &mut Reader<'_>) {
        match self.ids.get(&id.text) {
            Some(line) => {
                reader.fault(id.at, format!("id: \"{}\" is taken in line {line}", short(&id.written)))
            }
            None => drop(self.ids.insert(id.text.clone(), id.at.line)),
        }
    }

    fn paths(
        &mut self,
        path: &Scalar,
        pattern: &PathPattern,
        methods: &[Method],
        id: Option<&Scalar>,
        reader: &mut Reader<'_>,
    ) {
        let shape = pattern.shape();
        for method in methods {
            let key = (shape.clone(), method.clone());
            if let Some((line, other)) = self.paths.get(&key) {
                let message = format!(
                    "path: \"{}\" with {method} takes the same requests as {other} in line {line}",
                    short(&path.written)
                );
                reader.fault(path.at, message);
                continue;
            }
            let name =
                id.map_or_else(|| "the route".to_owned(), |id| format!("the route {}", short(&id.written)));
            self.paths.insert(key, (path.at.line, name));
        }
    }

    /// Checks that all routes of a stream agree about its workers.
    fn stream(
        &mut self,
        section: &Section,
        stream: &StreamKey,
        group: &str,
        external: bool,
        reader: &mut Reader<'_>,
    ) {
        let Some(first) = self.streams.get(stream) else {
            let at = section.place("stream");
            self.streams.insert(stream.clone(), Stream { at, group: group.to_owned(), external });
            return;
        };
        let line = first.at.line;
        if first.group != group {
            let at = if section.given("group") { section.place("group") } else { section.place("stream") };
            reader
                .fault(at, format!("its stream has another group in line {line}: one stream has one group"));
        }
        if first.external != external {
            let message = format!(
                "its stream has other workers in line {line}: proxy reads a whole stream, or none of it"
            );
            reader.fault(section.place("stream"), message);
        }
    }

    /// Checks that no stream has the name of the priority of another one.
    fn check_priorities(&self, reader: &mut Reader<'_>) {
        for (name, stream) in &self.streams {
            for priority in [Priority::High, Priority::Low] {
                if let Some(other) = self.streams.get(&priority.stream(name)) {
                    let line = stream.at.line;
                    let message = format!("stream: the stream in line {line} has this name for a priority");
                    reader.fault(other.at, message);
                }
            }
        }
    }
}

fn methods(texts: &[Scalar]) -> Vec<Method> {
    let mut methods: Vec<Method> = texts.iter().filter_map(|text| rules::method(&text.text).ok()).collect();
    methods.sort_by(|a, b| a.as_str().cmp(b.as_str()));
    methods.dedup();
    methods
}

fn group(section: &Section, stream: Option<&StreamKey>, reader: &mut Reader<'_>) -> Option<String> {
    if section.given("group") {
        return section.text("group").map(|group| group.text.clone());
    }
    let group = format!("{}-workers", stream?);
    if streamgate::stream::ConsumerGroup::check_name(&group).is_err() {
        reader.fault(
            section.place("stream"),
            "stream: STREAM-workers is too long for the name of a group: name it with group",
        );
        return None;
    }
    Some(group)
}

fn cors(section: &Section, reader: &mut Reader<'_>) -> Option<Cors> {
    let origins = section.texts("origins");
    let any = origins.iter().any(|origin| origin.text == "*");
    if any && origins.len() > 1 {
        reader.fault(section.place("origins"), "origins must be * alone, or without *");
    }
    let only = || origins.iter().filter_map(|origin| HeaderValue::from_str(&origin.text).ok()).collect();
    Some(Cors {
        origins: if any { Origins::Any } else { Origins::Only(only()) },
        headers: header_names(section.texts("headers")),
        max_age: section.duration("max_age")?,
    })
}

/// Reads what issue "durable requests" will use. Until then a file must not ask for it.
fn durability(section: &Section, reader: &mut Reader<'_>) -> Durability {
    let durability = Durability {
        durable: Durable::named(section.choice("durable")),
        idempotency: Idempotency::named(section.choice("idempotency")),
        deadline: section.duration("deadline"),
        callback: section.flag("callback"),
    };
    for (key, asked) in [
        ("durable", durability.durable != Durable::Never),
        ("idempotency", durability.idempotency != Idempotency::Off),
        ("deadline", durability.deadline.is_some()),
        ("callback", durability.callback),
    ] {
        if asked {
            let message =
                format!("{key} is not available yet: this version has no durable requests; remove the key");
            reader.fault(section.place(key), message);
        }
    }
    durability
}
