use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use redis::{Cmd, Value};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{Commands, Decode, Decoder, ExclusiveConnection};
use crate::connection::error::{Error, ErrorKind, checked};
use crate::connection::{Redis, RetryLog};

/// A connection for commands that block: one per reader, never one per request, because
/// every blocked client costs Redis time.
///
/// Its response timeout is the blocking time plus the usual one. After a failure the socket is dropped;
/// the next call connects again.
pub struct BlockingConnection {
    connection: ExclusiveConnection,
    commands: Commands,
    block: Duration,
    client_id: ClientId,
    outage: RetryLog,
}

/// The generation and the server's number of the reader's connection. The generation is needed because another server
/// may use the same number for another client. `None` without a connection, or if the user may not ask for the number;
/// then a read ends only after its blocking time.
type ClientId = Arc<Mutex<Option<(u64, i64)>>>;

impl BlockingConnection {
    /// A connection that is not open yet; `part` names its reader in logs.
    pub fn new(redis: Redis, block: Duration, part: &'static str) -> Self {
        Self {
            connection: ExclusiveConnection::blocking(redis, block),
            commands: Commands::default(),
            block,
            client_id: ClientId::default(),
            outage: RetryLog::new(part),
        }
    }

    /// How long a command may block, in milliseconds, the unit of `BLOCK`.
    pub fn block_ms(&self) -> u64 {
        self.block.as_millis() as u64
    }

    /// A handle for another task to end a blocked command.
    pub fn waker(&self) -> Waker {
        Waker { redis: self.connection.redis().clone(), client_id: Arc::clone(&self.client_id) }
    }

    /// Sends one command, which may block.
    ///
    /// # Errors
    /// The same as for [`BlockingConnection::read`].
    pub async fn run(&mut self, cmd: &Cmd) -> Result<Value, Error> {
        let answers = self.exchange(std::slice::from_ref(cmd), &mut Decoder::default()).await;
        let answer = answers.and_then(|mut answers| match answers.pop() {
            Some(answer) => checked(answer),
            None => Err(Error::new(ErrorKind::Refused, "no answer to a command")),
        });
        self.replace_if_broken(answer)
    }

    /// Sends commands, the first of which may block. The others are executed as soon as it ends, and
    /// all answers come together.
    ///
    /// # Errors
    /// The connection failed, or the server refused one of the commands. If the connection failed,
    /// it is unknown whether the commands were executed, and the socket is replaced. Before the next call, pause as
    /// long as [`BlockingConnection::failed`] returns.
    pub async fn read<T>(
        &mut self,
        cmds: &[Cmd],
        decoder: &mut impl Decode<Answer = Result<T, Error>>,
    ) -> Result<Vec<T>, Error> {
        let answers = self.exchange(cmds, decoder).await;
        self.replace_if_broken(answers.and_then(|answers| answers.into_iter().collect()))
    }

    fn replace_if_broken<T>(&mut self, result: Result<T, Error>) -> Result<T, Error> {
        if let Err(error) = &result {
            // The node or the socket may be the cause, so the next call uses a new socket.
            if error.is_about_the_connection() || error.kind() == ErrorKind::Unblocked {
                self.disconnect();
            }
        }
        result
    }

    /// How long to pause after `error`; logged once per outage.
    pub fn failed(&mut self, error: &Error) -> Duration {
        self.connection.redis().note_denial(error);
        self.outage.failed(error)
    }

    /// Ends an outage: the whole purpose of this connection has succeeded. The success of a single command does not
    /// end it, because the user may be denied the next command.
    pub fn healed(&mut self) {
        self.outage.healed();
    }

    /// Number of failures since [`BlockingConnection::healed`] was last called.
    pub fn failures(&self) -> u32 {
        self.outage.failures()
    }

    /// The identity of the server it is connected to, if known.
    pub(crate) fn server(&self) -> Option<&str> {
        self.connection.server()
    }

    /// Logs once that the user may not run a command, and what happens `instead`.
    pub(crate) fn does_without(&self, name: &'static str, instead: &'static str) {
        self.connection.redis().does_without(name, instead);
    }

    /// Drops the socket.
    pub fn disconnect(&mut self) {
        self.set_client_id(None);
        self.connection.disconnect();
    }

    fn set_client_id(&self, client_id: Option<(u64, i64)>) {
        *self.client_id.lock().unwrap_or_else(PoisonError::into_inner) = client_id;
    }

    async fn exchange<D: Decode>(&mut self, cmds: &[Cmd], decoder: &mut D) -> Result<Vec<D::Answer>, Error> {
        self.connection.connect().await?;
        self.set_client_id(self.connection.client_id());
        self.commands.clear();
        cmds.iter().for_each(|cmd| self.commands.add(cmd));
        self.connection.exchange(&self.commands, decoder).await
    }
}

/// How often [`Waker::wake_on`] tries to wake the reader.
const WAKE_PERIOD: Duration = Duration::from_millis(20);

/// Ends the blocked command of a [`BlockingConnection`] as if its blocking time had passed.
///
/// If the socket were dropped instead, entries just delivered to it would stay pending until their lease ends.
#[derive(Clone)]
pub struct Waker {
    redis: Redis,
    client_id: ClientId,
}

impl Waker {
    /// Ends a blocked command once `stop` is cancelled. Repeats this until the guard is dropped, because the reader may
    /// be about to block.
    pub(crate) fn wake_on(self, stop: &CancellationToken) -> DropGuard {
        let (stop, reader_gone) = (stop.clone(), CancellationToken::new());
        let guard = reader_gone.clone().drop_guard();
        tokio::spawn(async move {
            tokio::select! {
                () = reader_gone.cancelled() => return,
                () = stop.cancelled() => {}
            }
            while !reader_gone.is_cancelled() && self.wake().await {
                tokio::time::sleep(WAKE_PERIOD).await;
            }
        });
        guard
    }

    /// Wakes the reader if it is blocked. The command goes only to the reader's server, so it wakes no other client.
    /// If it fails, the read ends after its blocking time. False if the user may not wake clients: then further tries
    /// are useless.
    pub async fn wake(&self) -> bool {
        let client_id = *self.client_id.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((generation, id)) = client_id else { return true };
        let unblock = redis::cmd("CLIENT").arg("UNBLOCK").arg(id).to_owned();
        match self.redis.command_in(generation, &unblock).await {
            Err(error) if error.kind() == ErrorKind::NotPermitted => {
                self.redis
                    .does_without("client|unblock", "a stopping process waits until its blocked read ends");
                false
            }
            Err(error) => {
                tracing::debug!(%error, "could not wake a blocked reader; its read ends after the blocking time");
                true
            }
            Ok(_) => true,
        }
    }
}
