use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use redis::{Cmd, Value};

use super::{Commands, Decode, Decoder, ExclusiveConnection};
use crate::connection::error::{Error, ErrorKind, checked};
use crate::connection::{Redis, RetryLog};

/// A socket of its own for commands that block: one per reader, never one per request, because
/// Redis pays for every client blocked on a key.
///
/// Its response timeout is the blocking time plus the usual one. A failure drops the socket;
/// the next call connects anew.
pub struct BlockingConnection {
    connection: ExclusiveConnection,
    commands: Commands,
    block: Duration,
    client_id: ClientId,
    outage: RetryLog,
}

/// What Redis calls the reader's connection, and the generation of connections in which it does: another
/// server may know a stranger by that number. `None` without a connection, or if the user may not know; such
/// a reader ends its reads by itself.
type ClientId = Arc<Mutex<Option<(u64, i64)>>>;

impl BlockingConnection {
    /// Not connected yet; `part` names this reader in logs.
    pub fn new(redis: Redis, block: Duration, part: &'static str) -> Self {
        Self {
            connection: ExclusiveConnection::blocking(redis, block),
            commands: Commands::default(),
            block,
            client_id: ClientId::default(),
            outage: RetryLog::new(part),
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
        if let Err(error) = &result {
            // The node or the socket may be to blame: find out with another one.
            if error.is_about_the_connection() || error.kind() == ErrorKind::Unblocked {
                self.disconnect();
            }
        }
        result
    }

    /// How long to pause after `error`; logged once per outage.
    pub fn failed(&mut self, error: &Error) -> Duration {
        self.connection.redis().heard(error);
        self.outage.failed(error)
    }

    /// What this connection is for has worked: that ends an outage. No single command does, because a user
    /// may be allowed one and denied the next.
    pub fn healed(&mut self) {
        self.outage.healed();
    }

    /// How many times what it is for has failed since it last worked.
    pub fn failures(&self) -> u32 {
        self.outage.failures()
    }

    /// The server it is connected to, if that tells who it is.
    pub(crate) fn server(&self) -> Option<&str> {
        self.connection.server()
    }

    /// Says once that the user may not run a command, and what happens `instead`.
    pub(crate) fn does_without(&self, name: &'static str, instead: &'static str) {
        self.connection.redis().does_without(name, instead);
    }

    /// Drops the socket.
    pub fn disconnect(&mut self) {
        self.tell(None);
        self.connection.disconnect();
    }

    fn tell(&self, client_id: Option<(u64, i64)>) {
        *self.client_id.lock().unwrap_or_else(PoisonError::into_inner) = client_id;
    }

    async fn exchange<D: Decode>(&mut self, cmds: &[Cmd], decoder: &mut D) -> Result<Vec<D::Answer>, Error> {
        self.connection.connect().await?;
        self.tell(self.connection.client_id());
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
    client_id: ClientId,
}

impl Waker {
    /// Wakes the reader; a reader that is not blocked is left alone, and so is everybody else: nothing is
    /// sent to another server than the reader's. Best effort: the reader's own blocking time bounds the wait
    /// if this fails. False if trying again is of no use, because the user may not wake anybody.
    pub async fn wake(&self) -> bool {
        let client_id = *self.client_id.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((generation, id)) = client_id else { return true };
        let unblock = redis::cmd("CLIENT").arg("UNBLOCK").arg(id).to_owned();
        match self.redis.command_in(generation, &unblock).await {
            Err(error) if error.kind() == ErrorKind::NotPermitted => {
                self.redis
                    .does_without("client|unblock", "a stopping process waits until its read ends by itself");
                false
            }
            Err(error) => {
                tracing::debug!(%error, "could not wake a blocked reader; it wakes by itself");
                true
            }
            Ok(_) => true,
        }
    }
}
