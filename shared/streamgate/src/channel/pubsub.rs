use std::marker::PhantomData;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use redis::aio::{PubSub, PubSubSink};
use tokio::sync::mpsc;

use crate::codec::{Codec, CodecError, Json};
use crate::connection::{Error, ErrorKind, Redis, RetryLog};
use crate::stream::{InvalidStreamKey, StreamKey};

/// A channel of values of type `T` over Pub/Sub: every subscriber that is connected gets each value. Clones share
/// everything.
///
/// Nothing is stored, so **nothing is promised** to a subscriber that is not connected, reads too slowly or loses its
/// connection: it gets [`PubSubEvent::Gap`] instead of the values. There are no ids, no acknowledgement, no replay and
/// no groups; for those, use a [`StreamChannel`](super::StreamChannel). Writer and subscriber must use the same codec,
/// because a value travels without its content type.
///
/// ```no_run
/// # use streamgate::channel::{PubSubChannel, PubSubEvent};
/// # use streamgate::connection::Redis;
/// # async fn example(redis: Redis) -> Result<(), Box<dyn std::error::Error>> {
/// let prices = PubSubChannel::<u64>::new(&redis, "prices")?;
/// let mut subscription = prices.subscribe().await?;
/// let receivers = prices.publish(&250).await?;
/// while let Some(event) = subscription.next().await {
///     match event? {
///         PubSubEvent::Value(price) => println!("{price} cents to {receivers} receivers"),
///         PubSubEvent::Gap => println!("some prices were missed"),
///     }
/// }
/// # Ok(())
/// # }
/// ```
pub struct PubSubChannel<T, C = Json> {
    redis: Redis,
    name: StreamKey,
    codec: Arc<C>,
    value: PhantomData<fn() -> T>,
}

impl<T> PubSubChannel<T> {
    /// The channel called `name`, with values in JSON; nothing is sent yet. A name follows the rules of a stream's
    /// name.
    ///
    /// # Errors
    /// The name is not valid.
    pub fn new(redis: &Redis, name: &str) -> Result<Self, InvalidStreamKey> {
        Self::with_codec(redis, name, Json)
    }
}

impl<T, C> PubSubChannel<T, C> {
    /// The channel called `name`, with values in the format of `codec`.
    ///
    /// # Errors
    /// The name is not valid.
    pub fn with_codec(redis: &Redis, name: &str, codec: C) -> Result<Self, InvalidStreamKey> {
        Ok(Self { redis: redis.clone(), name: name.parse()?, codec: Arc::new(codec), value: PhantomData })
    }
}

impl<T: Send + 'static, C: Codec<T> + 'static> PubSubChannel<T, C> {
    /// Sends a value to all subscribers that are connected now; returns how many Redis has sent it to.
    ///
    /// # Errors
    /// The value cannot be encoded (nothing was sent then), or Redis did not confirm it.
    pub async fn publish(&self, value: &T) -> Result<u64, PublishError> {
        let body = self.codec.encode(value)?;
        let answer = self.redis.command(redis::cmd("PUBLISH").arg(self.name.as_str()).arg(&body[..])).await?;
        Ok(redis::from_redis_value_ref(&answer).map_err(|_| Error::unexpected("PUBLISH", &answer))?)
    }

    /// Subscribes on a connection of its own. What is published after this returns is received.
    ///
    /// # Errors
    /// Redis cannot be reached now, or refuses the subscription.
    pub async fn subscribe(&self) -> Result<Subscription<T, C>, Error> {
        let (events, received) = mpsc::channel(BUFFER);
        let subscriber =
            Subscriber { redis: self.redis.clone(), name: self.name.clone(), events, gap: false };
        let connection = subscriber.connect().await?;
        tokio::spawn(subscriber.run(connection));
        Ok(Subscription { received, codec: Arc::clone(&self.codec), value: PhantomData })
    }
}

impl<T, C> Clone for PubSubChannel<T, C> {
    fn clone(&self) -> Self {
        Self {
            redis: self.redis.clone(),
            name: self.name.clone(),
            codec: Arc::clone(&self.codec),
            value: PhantomData,
        }
    }
}

/// Why a value was not published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// It could not be encoded; nothing was sent.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// Redis did not confirm it. It may have been sent, if Redis could not be reached.
    #[error(transparent)]
    Redis(#[from] Error),
}

/// What a [`Subscription`] gives out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PubSubEvent<T> {
    /// A value.
    Value(T),
    /// Values may be missing here: the connection was lost and made again, or more than 1,024 values waited to be read.
    /// It comes once later values are received again, so that what is read from elsewhere then is not older.
    Gap,
}

/// Receives the values of a [`PubSubChannel`], at most once each, in the order in which Redis got them.
///
/// It does not end because the channel is quiet; it reconnects by itself, and then gives out [`PubSubEvent::Gap`]. A
/// value that cannot be decoded is an error item, and the next item is the next value. Dropping it ends the
/// subscription.
pub struct Subscription<T, C = Json> {
    received: mpsc::Receiver<Received>,
    codec: Arc<C>,
    value: PhantomData<fn() -> T>,
}

enum Received {
    Body(Vec<u8>),
    Gap,
}

/// How many values may wait to be read.
const BUFFER: usize = 1_024;

impl<T, C: Codec<T>> Subscription<T, C> {
    /// The next value or gap; waits for it.
    pub async fn next(&mut self) -> Option<Result<PubSubEvent<T>, CodecError>> {
        StreamExt::next(self).await
    }
}

impl<T, C: Codec<T>> Stream for Subscription<T, C> {
    type Item = Result<PubSubEvent<T>, CodecError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let subscription = self.get_mut();
        subscription.received.poll_recv(cx).map(|received| {
            Some(match received? {
                Received::Body(body) => subscription.codec.decode(&body).map(PubSubEvent::Value),
                Received::Gap => Ok(PubSubEvent::Gap),
            })
        })
    }
}

/// Takes messages from the connection at once, so that Redis does not have to keep them, into the bounded buffer.
struct Subscriber {
    redis: Redis,
    name: StreamKey,
    events: mpsc::Sender<Received>,
    /// True if values are missing and the subscriber was not told yet.
    gap: bool,
}

/// How often the connection is checked. A subscriber sends nothing, so it would not notice a connection that is half
/// open.
const CHECK_PERIOD: Duration = Duration::from_secs(2);

impl Subscriber {
    async fn connect(&self) -> Result<PubSub, Error> {
        let mut connection = self.redis.pubsub().await?;
        let late = |_| Error::new(ErrorKind::Unreachable, "no response to SUBSCRIBE");
        let subscribing = connection.subscribe(self.name.as_str());
        tokio::time::timeout(self.redis.response_timeout(), subscribing).await.map_err(late)??;
        Ok(connection)
    }

    /// Receives until the subscription is dropped; reconnects.
    async fn run(mut self, first: PubSub) {
        let mut outage = RetryLog::new("subscriber");
        let mut connection = Some(first);
        while !self.events.is_closed() {
            match connection.take() {
                Some(connection) => {
                    outage.healed();
                    self.receive(connection).await;
                    self.gap = true;
                }
                None => match self.connect().await {
                    Ok(new) => connection = Some(new),
                    Err(error) => {
                        let pause = outage.failed(&error);
                        tokio::select! {
                            () = self.events.closed() => return,
                            () = tokio::time::sleep(pause) => {}
                        }
                    }
                },
            }
        }
    }

    /// Receives until the connection fails or the subscription is dropped.
    async fn receive(&mut self, connection: PubSub) {
        let (sink, mut messages) = connection.split();
        let mut broken = pin!(broken(self.redis.clone(), sink));
        loop {
            tokio::select! {
                biased;
                () = self.events.closed() => return,
                told = self.events.reserve(), if self.gap => match told {
                    Ok(place) => {
                        place.send(Received::Gap);
                        self.gap = false;
                    }
                    Err(_) => return,
                },
                message = messages.next() => match message {
                    // While a gap waits for room in the buffer, values belong to the gap.
                    Some(message) if !self.gap => {
                        let body = Received::Body(message.get_payload_bytes().to_vec());
                        self.gap = self.events.try_send(body).is_err();
                    }
                    Some(_) => {}
                    None => return,
                },
                () = &mut broken => return,
            }
        }
    }
}

/// Completes when the connection does not answer, or when the process has dropped its other connections: the address
/// may lead to another server.
async fn broken(redis: Redis, mut sink: PubSubSink) {
    let generation = redis.generation();
    loop {
        tokio::time::sleep(CHECK_PERIOD).await;
        let answer = tokio::time::timeout(redis.response_timeout(), sink.ping::<redis::Value>()).await;
        if redis.generation() != generation || !matches!(answer, Ok(Ok(_))) {
            return;
        }
    }
}
