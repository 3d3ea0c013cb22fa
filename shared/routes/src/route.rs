//! A route: which requests it takes, and what happens to them.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Method};
use streamgate::stream::StreamKey;

use crate::path::PathPattern;
use crate::schema::BodySchema;
use crate::upstream::Upstream;

/// One route of the file, complete: defaults are filled in.
#[derive(Debug, Clone)]
pub struct Route {
    /// Unique, 1 to 64 characters of `A-Z a-z 0-9 . _ -`: a label of metrics, and the field `route` of an entry.
    pub id: String,
    /// What it does, for the OpenAPI document.
    pub summary: Option<String>,
    /// The methods it takes, sorted; at least one.
    pub methods: Vec<Method>,
    /// The paths it takes.
    pub path: PathPattern,
    /// The stream that its requests wait on, for normal priority. See [`Priority::stream`].
    pub stream: StreamKey,
    /// The consumer group of the workers of the stream.
    pub group: String,
    /// How long a caller waits for the reply; also the deadline of the work.
    pub timeout: Duration,
    /// What a request must be like.
    pub request: RequestRules,
    /// What a reply must be like.
    pub reply: ReplyRules,
    /// Whether an entry whose worker was lost is given to another one.
    pub delivery: Delivery,
    /// Who does the work.
    pub handler: Handler,
    /// Which requests of a stream workers take first.
    pub priority: Priority,
    /// Whether a caller needs an API key.
    pub auth: Auth,
    /// The API key must have each of these scopes.
    pub scopes: Vec<String>,
    /// Which web pages may send requests; `None` turns CORS off.
    pub cors: Option<Cors>,
    /// Whether answers outlive the connection. Not available yet: a file that asks for it is refused.
    pub durability: Durability,
}

impl Route {
    /// The stream that its requests wait on, that of its priority.
    pub fn queue(&self) -> StreamKey {
        self.priority.stream(&self.stream)
    }
}

/// What a request must be like, checked by ingress before Redis is asked.
#[derive(Debug, Clone)]
pub struct RequestRules {
    /// The largest body, in bytes: a larger one gets 413.
    pub body_limit: usize,
    /// The media types accepted, in lower case without parameters; `type/*` accepts all of a type. Another one gets
    /// 415. Empty accepts every one, and none.
    pub content_types: Vec<String>,
    /// What the body must be; with `None` it is not parsed.
    pub schema: Option<BodySchema>,
    /// The header fields that travel with the request, beside its content type: those that the file names for the
    /// route, and those that its upstream passes. In lower case, sorted, each once.
    pub headers: Vec<HeaderName>,
}

impl RequestRules {
    /// True if the route accepts a body with this `content-type`, with or without parameters.
    pub fn accepts(&self, content_type: Option<&str>) -> bool {
        if self.content_types.is_empty() {
            return true;
        }
        let Some(essence) = content_type.and_then(|text| text.split(';').next()) else { return false };
        let essence = essence.trim();
        self.content_types.iter().any(|accepted| match accepted.strip_suffix('*') {
            Some(start) => essence.get(..start.len()).is_some_and(|kind| kind.eq_ignore_ascii_case(start)),
            None => essence.eq_ignore_ascii_case(accepted),
        })
    }
}

/// What a reply with a status of 200 to 299 must be like.
#[derive(Debug, Clone, Default)]
pub struct ReplyRules {
    /// What the body must be; with `None` it is not parsed.
    pub schema: Option<BodySchema>,
    /// What happens if it is something else.
    pub check: Check,
}

/// What happens to a reply that breaks its schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Check {
    /// It is not checked; the schema is for the OpenAPI document.
    #[default]
    Off,
    /// It is counted and logged, and the caller gets it.
    Log,
    /// The caller gets 502.
    Enforce,
}

/// What happens to an entry whose worker was lost between taking it and settling it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Delivery {
    /// Another worker does the work again.
    #[default]
    AtLeastOnce,
    /// The work is not done again: 502 "unknown whether done", and a dead letter.
    AtMostOnce,
}

/// Who does the work.
#[derive(Debug, Clone)]
pub enum Handler {
    /// The weather, which proxy has built in.
    Weather,
    /// proxy sends the request to this upstream.
    Upstream(Arc<Upstream>),
    /// A worker of your own, in any language (docs/PROTOCOL.md). proxy leaves the stream alone.
    External,
}

/// Which requests of a stream workers take first: 8 high for 4 normal for 1 low, so none starves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Priority {
    /// Before the others.
    High,
    /// The stream without a suffix.
    #[default]
    Normal,
    /// After the others.
    Low,
}

impl Priority {
    /// All, the highest first.
    pub const ALL: [Self; 3] = [Self::High, Self::Normal, Self::Low];

    /// How many entries of it workers take in a turn of 13.
    pub fn share(self) -> u32 {
        match self {
            Self::High => 8,
            Self::Normal => 4,
            Self::Low => 1,
        }
    }

    /// The stream for this priority: `orders.high`, `orders`, `orders.low`.
    pub fn stream(self, normal: &StreamKey) -> StreamKey {
        let suffix = match self {
            Self::Normal => return normal.clone(),
            Self::High | Self::Low => self.as_str(),
        };
        // The file was refused if a name was too long for a suffix.
        normal.lane(suffix).unwrap_or_else(|_| normal.clone())
    }
}

/// Whether a caller needs an API key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Auth {
    /// If the gateway has a file of API keys.
    #[default]
    IfConfigured,
    /// Always. A gateway without a file of API keys must refuse to start.
    ApiKey,
    /// Never.
    None,
}

/// Which web pages may send requests from a browser (the fetch standard).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cors {
    /// The origins of the pages.
    pub origins: Origins,
    /// The header fields that a page may send, beside `content-type`, `authorization` and `x-api-key`.
    pub headers: Vec<HeaderName>,
    /// How long a browser may keep a permission.
    pub max_age: Duration,
}

/// The origins of web pages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origins {
    /// All.
    Any,
    /// These, each as a browser sends it.
    Only(Vec<HeaderValue>),
}

/// Whether answers outlive the connection of their caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Durability {
    /// When a request is durable.
    pub durable: Durable,
    /// What `Idempotency-Key` means.
    pub idempotency: Idempotency,
    /// How long the work is worth doing; `None` is as long as the caller waits.
    pub deadline: Option<Duration>,
    /// Whether a caller may ask to be called back.
    pub callback: bool,
}

/// When a request is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durable {
    /// Never: an answer is lost with its connection.
    #[default]
    Never,
    /// If the caller asks for it.
    OnRequest,
    /// Always.
    Always,
}

/// What `Idempotency-Key` means on a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Idempotency {
    /// It is passed on, and says nothing to the gateway.
    #[default]
    Off,
    /// A request may have it.
    Optional,
    /// A request without it gets 400.
    Required,
}

/// Gives the variants of an enum their names in a routes file.
macro_rules! named {
    ($type:ident: $($variant:ident = $name:literal),+) => {
        impl $type {
            /// The names of all, as a routes file has them.
            pub const NAMES: &'static [&'static str] = &[$($name),+];

            /// Its name in a routes file.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name),+
                }
            }

            /// The one of that name, or else the default.
            pub(crate) fn named(name: &str) -> Self {
                match name {
                    $($name => Self::$variant,)+
                    _ => Self::default(),
                }
            }
        }
    };
}

named!(Check: Off = "off", Log = "log", Enforce = "enforce");
named!(Delivery: AtLeastOnce = "at-least-once", AtMostOnce = "at-most-once");
named!(Priority: High = "high", Normal = "normal", Low = "low");
named!(Auth: IfConfigured = "if-configured", ApiKey = "api-key", None = "none");
named!(Durable: Never = "never", OnRequest = "on-request", Always = "always");
named!(Idempotency: Off = "off", Optional = "optional", Required = "required");
