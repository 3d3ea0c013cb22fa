//! The routes file (`ROUTES_FILE`): which requests the gateway takes, on which stream they wait, and who answers them.
//! ingress reads the routes, proxy the handlers and the upstreams. docs/ROUTES.md is the reference of its keys.
//!
//! This crate reads files and nothing else: it knows neither Redis nor HTTP servers.
//!
//! The map, in reading order:
//!
//! - [`route`]: [`Route`] and its rules, what a file says once it was read.
//! - [`upstream`]: [`Upstream`], an HTTP service that proxy forwards requests to.
//! - [`path`]: [`PathPattern`], such as `/orders/{customer}`.
//! - [`table`]: [`Routes::find`], the route of a request.
//! - [`schema`]: [`BodySchema`], the JSON Schema of a body.
//! - [`fault`]: [`Faults`], everything that is wrong with a file.
//! - `file/`: reads a file; `keys.rs` is the table of its keys.
//! - [`explain`]: what happens to a request, and what differs between two files.
//! - [`watch`]: [`Watch`], which notices that the file has changed.

pub mod explain;
pub mod fault;
mod file;
pub mod path;
pub mod route;
pub mod schema;
pub mod table;
pub mod upstream;
pub mod watch;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use streamgate::stream::StreamKey;

pub use explain::{Difference, Explanation, diff};
pub use fault::{Fault, Faults};
pub use file::{json_schema, reference};
pub use path::{PathParams, PathPattern};
pub use route::{
    Auth, Check, Cors, Delivery, Durability, Durable, Handler, Idempotency, Origins, Priority, ReplyRules,
    RequestRules, Route,
};
pub use schema::{BodyFault, BodySchema};
pub use table::{Found, NotFound};
pub use upstream::{Breaker, HeaderPolicy, Upstream};
pub use watch::{Reload, Watch};

use file::sources::Sources;

use table::Table;

/// What a routes file says. It never changes: a reload makes a new one.
#[derive(Debug)]
pub struct Routes {
    /// Names the content of the file and of the schemas that it uses: the first 12 hexadecimal digits of a SHA-256.
    /// `built-in` without a file. Two processes with the same version and the same variables have the same routes.
    pub version: String,
    /// The routes, in the order of the file.
    pub routes: Vec<Arc<Route>>,
    /// The upstreams by name.
    pub upstreams: BTreeMap<String, Arc<Upstream>>,
    table: Table,
    sources: Arc<Sources>,
}

/// What the settings of a process say about the weather, the one route without a file.
#[derive(Debug, Clone)]
pub struct BuiltIn {
    /// REQUEST_STREAM.
    pub stream: StreamKey,
    /// CONSUMER_GROUP.
    pub group: String,
    /// REQUEST_TIMEOUT.
    pub timeout: Duration,
    /// BODY_LIMIT, in bytes.
    pub body_limit: usize,
}

impl Routes {
    /// The routes without a file: the weather alone.
    pub fn built_in(settings: BuiltIn) -> Self {
        let path = "/WeatherForecast/city".parse().unwrap_or_else(|_| PathPattern::root());
        let weather = Route {
            id: "weather".to_owned(),
            summary: None,
            methods: vec![Method::POST],
            path,
            stream: settings.stream,
            group: settings.group,
            timeout: settings.timeout,
            request: RequestRules {
                body_limit: settings.body_limit,
                content_types: vec!["application/json".to_owned()],
                schema: None,
                headers: Vec::new(),
            },
            reply: ReplyRules::default(),
            delivery: Delivery::AtLeastOnce,
            handler: Handler::Weather,
            priority: Priority::Normal,
            auth: Auth::IfConfigured,
            scopes: Vec::new(),
            cors: None,
            durability: Durability::default(),
        };
        Self::new("built-in".to_owned(), vec![weather], BTreeMap::new())
    }

    /// Reads and checks the file at `path`: TOML if its name ends with `.toml`, else YAML. Values such as `${NAME}` come
    /// from the environment of this process.
    ///
    /// # Errors
    /// Everything that is wrong with the file, in the order of its lines.
    pub fn load(path: &Path) -> Result<Self, Faults> {
        Self::load_with(path, &|name| std::env::var(name).ok())
    }

    /// As [`Routes::load`], with another environment.
    ///
    /// # Errors
    /// See [`Routes::load`].
    pub fn load_with(path: &Path, env: &dyn Fn(&str) -> Option<String>) -> Result<Self, Faults> {
        Self::load_from(path, env, &Arc::default())
    }

    pub(crate) fn load_from(
        path: &Path,
        env: &dyn Fn(&str) -> Option<String>,
        sources: &Arc<Sources>,
    ) -> Result<Self, Faults> {
        let loaded = file::load(path, env, sources)?;
        let routes = Self::new(sources.version(), loaded.routes, loaded.upstreams);
        Ok(Self { sources: sources.clone(), ..routes })
    }

    /// The route of a request for `path` (without its query) and what its parameters stand for. HEAD is served by the
    /// route of GET unless a route names HEAD.
    ///
    /// # Errors
    /// No route has this path, or the path has no route with this method.
    pub fn find<'r, 'p>(&'r self, method: &Method, path: &'p str) -> Result<Found<'r, 'p>, NotFound> {
        self.table.find(&self.routes, method, path)
    }

    /// The methods that `path` accepts, for `Allow`: sorted, with HEAD if GET is among them, and OPTIONS. Empty if no
    /// route has this path.
    pub fn methods_at(&self, path: &str) -> Vec<Method> {
        self.table.methods_at(&self.routes, path)
    }

    /// The route with this id.
    pub fn route(&self, id: &str) -> Option<&Arc<Route>> {
        self.routes.iter().find(|route| route.id == id)
    }

    /// The streams of the routes, each once with its group. Requests of a stream wait on up to three, one for each
    /// priority: see [`Priority::stream`].
    pub fn streams(&self) -> BTreeMap<StreamKey, String> {
        self.routes.iter().map(|route| (route.stream.clone(), route.group.clone())).collect()
    }

    /// The longest timeout of a route, zero without routes. It bounds how long replies are of use.
    pub fn longest_timeout(&self) -> Duration {
        self.routes.iter().map(|route| route.timeout).max().unwrap_or_default()
    }

    pub(crate) fn new(
        version: String,
        routes: Vec<Route>,
        upstreams: BTreeMap<String, Arc<Upstream>>,
    ) -> Self {
        let routes: Vec<Arc<Route>> = routes.into_iter().map(Arc::new).collect();
        let table = Table::of(&routes);
        Self { version, routes, upstreams, table, sources: Arc::default() }
    }
}
