use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use redis::{Cmd, Value};

use super::error::{Error, ErrorKind, checked};
use super::resp::{Decode, Decoder};
use super::{Commands, DedicatedConnection, Outage, Redis};

/// A socket of its own for commands that block: one per reader, never one per request, because
/// Redis pays for every client blocked on a key.
///
/// Its response timeout is the blocking time plus the usual one. A failure drops the socket;
/// the next call connects anew.
pub struct BlockingConnection {
    connection: DedicatedConnection,
    commands: Commands,
    block: Duration,
    client_id: Arc<AtomicI64>,
    outage: Outage,
}

/// No client of Redis has this id. A user who may not know it has no waker; its reads end by themselves.
const NOT_CONNECTED: i64 = 0;

impl BlockingConnection {
    /// Not connected yet; `part` names this reader in logs.
    pub fn new(redis: Redis, block: Duration, part: &'static str) -> Self {
        Self {
            connection: DedicatedConnection::blocking(redis, block),
            commands: Commands::default(),
            block,
            client_id: Arc::new(AtomicI64::new(NOT_CONNECTED)),
            outage: Outage::new(part),
        }
    }

    /// How long a command on it may block, in the unit of `BLOCK`.
    pub fn block_ms(&self) -> u64 {
        self.block.as_millis() as u64
    }

    /// Wakes whoever is blocked on this connection, from elsewhere.
    pub fn waker(&self) -> Waker {
        Waker { redis: self.connection.redis().clone(), client_id: Arc::clone(&self.client_id) }
    }

    /// Sends one command, which may block.
    ///
    /// # Errors
    /// As [`BlockingConnection::read`].
    pub async fn run(&mut self, cmd: &Cmd) -> Result<Value, Error> {
        let answers = self.exchange(std::slice::from_ref(cmd), &mut Decoder::default()).await;
        let answer = answers.and_then(|mut answers| match answers.pop() {
            Some(answer) => checked(answer),
            None => Err(Error::new(ErrorKind::Refused, "no answer to a command")),
        });
        self.learn(answer)
    }

    /// Sends commands, the first of which may block: those after it are executed as soon as it ends, and
    /// all answers come together.
    ///
    /// # Errors
    /// The connection's or the first one of the server's. Unless the server refused a command itself,
    /// what they did is unknown and the socket is replaced. Pause as [`BlockingConnection::failed`] says
    /// before the next call.
    pub async fn read<T>(
        &mut self,
        cmds: &[Cmd],
        decoder: &mut impl Decode<Answer = Result<T, Error>>,
    ) -> Result<Vec<T>, Error> {
        let answers = self.exchange(cmds, decoder).await;
        self.learn(answers.and_then(|answers| answers.into_iter().collect()))
    }

    fn learn<T>(&mut self, result: Result<T, Error>) -> Result<T, Error> {
        match &result {
            Ok(_) => self.outage.healed(),
            // The node or the socket may be to blame: find out with another one.
            Err(error) if error.is_about_the_connection() || error.kind() == ErrorKind::Unblocked => {
                self.disconnect();
            }
            Err(_) => {}
        }
        result
    }

    /// How long to pause after `error`; logged once per outage.
    pub fn failed(&mut self, error: &Error) -> Duration {
        self.outage.failed(error)
    }

    /// Drops the socket.
    pub fn disconnect(&mut self) {
        self.client_id.store(NOT_CONNECTED, Ordering::Release);
        self.connection.disconnect();
    }

    async fn exchange<D: Decode>(&mut self, cmds: &[Cmd], decoder: &mut D) -> Result<Vec<D::Answer>, Error> {
        self.connection.connect().await?;
        self.client_id.store(self.connection.client_id().unwrap_or(NOT_CONNECTED), Ordering::Release);
        self.commands.clear();
        cmds.iter().for_each(|cmd| self.commands.add(cmd));
        self.connection.exchange(&self.commands, decoder).await
    }
}

/// Ends the blocking command of a [`BlockingConnection`] as if its time were up.
///
/// Dropping the socket instead could strand entries that were just delivered to it.
#[derive(Clone)]
pub struct Waker {
    redis: Redis,
    client_id: Arc<AtomicI64>,
}

impl Waker {
    /// Wakes the reader; a reader that is not blocked is left alone. Best effort: the reader's
    /// own blocking time bounds the wait if this fails.
    pub async fn wake(&self) {
        let id = self.client_id.load(Ordering::Acquire);
        if id == NOT_CONNECTED {
            return;
        }
        if let Err(error) = self.redis.command(redis::cmd("CLIENT").arg("UNBLOCK").arg(id)).await {
            tracing::debug!(%error, "could not wake a blocked reader; it wakes by itself");
        }
    }
}
