use std::io;
use std::time::Duration;

use bytes::BytesMut;
use futures_util::FutureExt;
use redis::{ConnectionInfo, RedisConnectionInfo, Value};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::socket::{Socket, connect};
use super::{Commands, Decode, Decoder};
use crate::connection::error::{Error, ErrorKind, checked};
use crate::connection::peer::{Peer, introduction};

/// One socket to Redis. Its user sends commands, waits for as many answers, and only then
/// sends again. The user reads and writes the socket directly, without another task.
pub(in crate::connection) struct RespSocket {
    socket: Box<dyn Socket>,
    input: BytesMut,
    peer: Peer,
}

/// Bytes reserved for one read.
const READ_SIZE: usize = 64 << 10;

/// If one value was larger than this, the buffer is freed afterwards.
const KEPT: usize = 1 << 20;

impl RespSocket {
    /// Connects, authenticates and selects the database.
    ///
    /// # Errors
    /// The server cannot be reached within `patience`, or it denies access.
    pub(in crate::connection) async fn connect(
        info: &ConnectionInfo,
        patience: Duration,
    ) -> Result<Self, Error> {
        let connecting = async {
            let socket = connect(info.addr()).await?;
            let mut connected = Self { socket, input: BytesMut::new(), peer: Peer::default() };
            connected.greet(info.redis_settings()).await?;
            Ok(connected)
        };
        tokio::time::timeout(patience, connecting).await.map_err(|_| late("no connection"))?
    }

    /// The server at the other end.
    pub(in crate::connection) fn peer(&self) -> &Peer {
        &self.peer
    }

    /// True if Redis has closed the connection, or sent data without a command.
    pub(super) fn is_stale(&mut self) -> bool {
        // Makes a system call only if the runtime knows that the socket is readable.
        self.socket.read_buf(&mut self.input).now_or_never().is_some()
    }

    async fn greet(&mut self, settings: &RedisConnectionInfo) -> Result<(), Error> {
        let mut commands = Commands::default();
        if let Some(password) = settings.password() {
            let mut auth = redis::cmd("AUTH");
            settings.username().into_iter().for_each(|name| {
                auth.arg(name);
            });
            commands.add(auth.arg(password));
            let answer = self.exchange(&commands, &mut Decoder::default()).await?.pop();
            // The server's text is not used, because it may repeat the password.
            if !matches!(answer, Some(Value::Okay)) {
                return Err(Error::new(ErrorKind::Denied, "AUTH was refused: wrong user or password"));
            }
            commands.clear();
        }
        if settings.db() != 0 {
            commands.add(redis::cmd("SELECT").arg(settings.db()));
        }
        let introduction = introduction();
        introduction.cmd_iter().for_each(|cmd| commands.add(cmd));
        let mut answers = self.exchange(&commands, &mut Decoder::default()).await?;
        self.peer = Peer::read(answers.split_off(answers.len() - introduction.len()))?;
        answers.into_iter().try_for_each(|answer| checked(answer).map(drop))
    }

    /// Sends `commands` and reads one answer for each. After a call that fails or is dropped, the socket must not be
    /// used again.
    pub(super) async fn exchange<D: Decode>(
        &mut self,
        commands: &Commands,
        decoder: &mut D,
    ) -> Result<Vec<D::Answer>, Error> {
        self.socket.write_all(commands.packed()).await?;
        self.socket.flush().await?;
        let mut answers = Vec::with_capacity(commands.len());
        let mut largest = 0;
        while answers.len() < commands.len() {
            match decoder.next(&mut self.input).map_err(io::Error::other)? {
                Some(answer) => answers.push(answer),
                None => {
                    let room = decoder.missing(&self.input).max(READ_SIZE);
                    self.read(room).await?;
                    largest = largest.max(room);
                }
            }
        }
        if !self.input.is_empty() {
            return Err(Error::new(ErrorKind::Unreachable, "Redis sent more answers than were due"));
        }
        if largest > KEPT {
            self.input = BytesMut::new();
        }
        Ok(answers)
    }

    /// Reads the bytes that have arrived, into a buffer with at least `room` free bytes.
    async fn read(&mut self, room: usize) -> Result<(), Error> {
        self.input.reserve(room);
        match self.socket.read_buf(&mut self.input).await? {
            0 => Err(Error::new(ErrorKind::Unreachable, "Redis closed the connection")),
            _ => Ok(()),
        }
    }
}

/// The error for a timeout; `what` is what did not come.
pub(super) fn late(what: &str) -> Error {
    Error::new(ErrorKind::Unreachable, format!("{what} in time"))
}
