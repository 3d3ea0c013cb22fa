//! Chat for customers and admins over Server-Sent Events. Any number of replicas share one stream of Redis.
//!
//! In reading order:
//!
//! | File | What |
//! |---|---|
//! | `config` | every setting, checked before the port is bound |
//! | `router` | the routes, the files of the page at `/`, and what all answers have in common |
//! | `problem` | why a request is refused, as problem+json |
//! | `keys` | the API keys with their roles, if CHAT_KEYS_FILE is set |
//! | `form`, `message` | a request becomes a message, or a list of the rules that it breaks |
//! | `send` | `POST /api/chat/send`: appends a message to the stream |
//! | `frames` | an entry of the stream becomes the bytes of an event, once for all clients |
//! | `listen`, `client` | `GET /api/chat/stream`: what one client gets, until it leaves, is too slow, or the process stops |
//! | `typing` | who is typing, over Pub/Sub |
//! | `metrics` | the metrics |
//!
//! A message is on the stream before its sender gets an answer. Each process reads the stream over one connection
//! ([`Broadcast`]) and has a queue for all its clients.

mod client;
pub mod config;
mod form;
mod frames;
mod keys;
mod limit;
mod listen;
mod message;
mod metrics;
mod problem;
mod router;
mod send;
mod typing;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use service::config::ConfigError;
use service::exporter::{MetricsRecorder, ProcessMetrics};
use service::http::{self, ServerMetrics, admin};
use service::liveness::Liveness;
use streamgate::channel::{PubSubChannel, StreamChannel, StreamWriter};
use streamgate::connection::{ConnectionMetrics, Redis};
use streamgate::fanout::{Broadcast, BroadcastSettings};
use streamgate::telemetry::{Latch, Readiness};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, broadcast};
use tokio::task::JoinError;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::config::Settings;
use crate::frames::{Frame, Frames};
use crate::keys::Keys;
use crate::limit::SenderLimit;
use crate::message::Message;
use crate::metrics::ChatMetrics;
use crate::typing::{Notice, NoticeFrame};

/// What the handlers share.
struct Chat {
    settings: Settings,
    keys: Option<Keys>,
    frames: Frames,
    writer: StreamWriter<Message>,
    messages: Broadcast<Frame>,
    notices: PubSubChannel<Notice>,
    /// Each client listens here to who is typing. What a client has no time for is forgotten.
    typing: broadcast::Sender<Arc<NoticeFrame>>,
    send_limit: SenderLimit,
    typing_limit: SenderLimit,
    /// One place for each client.
    places: Arc<Semaphore>,
    metrics: ChatMetrics,
}

/// Serves until `shutdown` is cancelled, then stops in this order: report not ready, wait for SHUTDOWN_DELAY, accept no
/// more connections, end the clients' streams with an event that says so, finish the requests under way.
///
/// # Errors
/// A part cannot start, or ends by itself. An unreachable Redis is no error: the process reports that it is not ready.
pub async fn run(
    settings: Settings,
    listener: std::net::TcpListener,
    shutdown: CancellationToken,
) -> Result<(), RunError> {
    let recorder = MetricsRecorder::default();
    let (scrapes, recorder) = (recorder.handle(), Arc::new(recorder));
    let elsewhere = |_| RunError::Start(io::Error::other("metrics are recorded elsewhere"));
    ::metrics::set_global_recorder(Arc::clone(&recorder)).map_err(elsewhere)?;
    let process = ProcessMetrics::declare(recorder, "chat", env!("CARGO_PKG_VERSION"));
    let (liveness, readiness) = (Liveness::default(), Readiness::default());
    let _ticking = liveness.tick();
    let (accepting, reading) = (readiness.latch("listener"), readiness.latch("stream"));

    let redis =
        Redis::open(settings.redis.settings(), ConnectionMetrics::declare(), readiness.latch("redis"))
            .map_err(RunError::Redis)?;
    // The drop guard ends the streams however this function ends.
    let stop = CancellationToken::new();
    let _stop = stop.clone().drop_guard();
    let chat = Arc::new(Chat::start(settings, &redis, &stop)?);
    let _typing = AbortOnDropHandle::new(tokio::spawn(typing::listen(Arc::clone(&chat))));
    let _upkeep = AbortOnDropHandle::new(tokio::spawn(upkeep(chat.messages.clone(), reading, process)));

    let router = router::router(Arc::clone(&chat), admin::routes(scrapes, liveness, readiness));
    let listener = TcpListener::from_std(listener).map_err(RunError::Start)?;
    let limits = chat.settings.server().within_open_files();
    let serving = http::serve(listener, router, limits, ServerMetrics::declare(), stop.clone());
    let mut serving = AbortOnDropHandle::new(tokio::spawn(serving));
    accepting.set(true);

    tokio::select! {
        () = shutdown.cancelled() => {}
        ended = &mut serving => return Err(RunError::Server(ended.err())),
    }
    accepting.set(false);
    tokio::time::sleep(chat.settings.process.shutdown_delay.0).await;
    stop.cancel();
    let all_finished = serving.await.map_err(|error| RunError::Server(Some(error)))?;
    if !all_finished {
        tracing::warn!("SHUTDOWN_GRACE is nearly over: clients that did not read to the end were cut off");
    }
    tracing::info!("stopped");
    Ok(())
}

/// How many notices of typing wait for a client.
const NOTICES: usize = 64;

impl Chat {
    fn start(settings: Settings, redis: &Redis, stop: &CancellationToken) -> Result<Self, RunError> {
        let (keys, typing) = (settings.keys()?, settings.typing()?);
        let named = |rule| ConfigError::rule("CHAT_STREAM", &settings.chat_stream, rule);
        let channel = StreamChannel::new(redis, settings.chat_stream.as_str()).map_err(named)?;
        let notices = PubSubChannel::new(redis, typing.as_str()).map_err(named)?;
        let writer = channel.writer().max_len(settings.chat_kept);
        let frames = Frames(channel);
        let queue = BroadcastSettings {
            queue: settings.chat_queue,
            shutdown: stop.clone(),
            ..BroadcastSettings::default()
        };
        Ok(Self {
            messages: Broadcast::start(&frames, queue),
            send_limit: SenderLimit::new(settings.chat_send_rate, settings.chat_send_burst),
            typing_limit: SenderLimit::new(settings.chat_send_rate, settings.chat_send_burst),
            places: Arc::new(Semaphore::new(settings.chat_max_clients)),
            typing: broadcast::channel(NOTICES).0,
            metrics: ChatMetrics::declare(),
            keys,
            frames,
            writer,
            notices,
            settings,
        })
    }
}

/// The process is ready only while it reads the stream.
async fn upkeep(messages: Broadcast<Frame>, reading: Latch, process: ProcessMetrics) {
    let mut ticks = tokio::time::interval(Duration::from_millis(250));
    for tick in 0u64.. {
        ticks.tick().await;
        reading.set(messages.is_reading());
        if tick % 8 == 0 {
            process.refresh();
        }
    }
}

/// Why the process could not run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A setting became invalid after it was checked.
    #[error(transparent)]
    Settings(#[from] ConfigError),
    /// REDIS_URL cannot be used.
    #[error("REDIS_URL cannot be used")]
    Redis(#[source] streamgate::connection::Error),
    /// This process already records metrics elsewhere, or the async runtime cannot use the listener.
    #[error("the process cannot start")]
    Start(#[source] io::Error),
    /// The server ended by itself.
    #[error("the server ended by itself")]
    Server(#[source] Option<JoinError>),
}
