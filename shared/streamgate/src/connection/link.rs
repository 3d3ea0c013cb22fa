use std::io;
use std::time::Duration;

use bytes::BytesMut;
use redis::{ConnectionInfo, RedisConnectionInfo, Value};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::Commands;
use super::error::{Error, ErrorKind, checked};
use super::resp::{Decoder, missing};
use super::socket::{Socket, connect};

/// One socket to Redis whose user sends some commands, waits for as many answers, and only then
/// sends again. No task stands between the user and the socket.
pub(super) struct Link {
    socket: Box<dyn Socket>,
    input: BytesMut,
    decoder: Decoder,
}

/// Room for one read: a burst of replies.
const READ_SIZE: usize = 64 << 10;

/// A buffer that grew beyond this for a few large bodies is given back.
const KEPT: usize = 1 << 20;

impl Link {
    /// Connects, authenticates and selects the database.
    ///
    /// # Errors
    /// The server cannot be reached within `patience`, or it denies access.
    pub(super) async fn connect(info: &ConnectionInfo, patience: Duration) -> Result<Self, Error> {
        let connecting = async {
            let socket = connect(info.addr()).await?;
            let mut link = Self { socket, input: BytesMut::new(), decoder: Decoder::default() };
            link.greet(info.redis_settings()).await?;
            Ok(link)
        };
        tokio::time::timeout(patience, connecting).await.map_err(|_| late("no connection"))?
    }

    async fn greet(&mut self, settings: &RedisConnectionInfo) -> Result<(), Error> {
        let mut commands = Commands::default();
        if let Some(password) = settings.password() {
            let mut auth = redis::cmd("AUTH");
            settings.username().into_iter().for_each(|name| {
                auth.arg(name);
            });
            commands.add(auth.arg(password));
        }
        if settings.db() != 0 {
            commands.add(redis::cmd("SELECT").arg(settings.db()));
        }
        let authenticates = settings.password().is_some();
        for (n, answer) in self.exchange(&commands).await?.into_iter().enumerate() {
            checked(answer).map_err(|error| match error.kind() {
                ErrorKind::Refused if n == 0 && authenticates => {
                    Error::new(ErrorKind::Denied, error.to_string())
                }
                _ => error,
            })?;
        }
        Ok(())
    }

    /// Sends `commands` and reads one answer for each. A call that fails or is dropped leaves the
    /// link of no use.
    pub(super) async fn exchange(&mut self, commands: &Commands) -> Result<Vec<Value>, Error> {
        self.socket.write_all(commands.packed()).await?;
        self.socket.flush().await?;
        let mut answers = Vec::with_capacity(commands.len());
        while answers.len() < commands.len() {
            match self.decoder.next(&mut self.input).map_err(io::Error::other)? {
                Some(answer) => answers.push(answer),
                None => self.read().await?,
            }
        }
        match self.input.is_empty() {
            true => Ok(answers),
            false => Err(Error::new(ErrorKind::Unreachable, "Redis sent more answers than were due")),
        }
    }

    async fn read(&mut self) -> Result<(), Error> {
        if self.input.is_empty() && self.input.capacity() > KEPT {
            self.input = BytesMut::new();
        }
        self.input.reserve(missing(&self.input).max(READ_SIZE));
        match self.socket.read_buf(&mut self.input).await? {
            0 => Err(Error::new(ErrorKind::Unreachable, "Redis closed the connection")),
            _ => Ok(()),
        }
    }
}

/// No answer in time.
pub(super) fn late(what: &str) -> Error {
    Error::new(ErrorKind::Unreachable, format!("{what} in time"))
}
