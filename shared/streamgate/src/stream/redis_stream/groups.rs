use redis::Value;

use super::RedisStream;
use crate::connection::{Error, ErrorKind, Script};
use crate::stream::health::is_no_such_key;
use crate::stream::{ConsumerGroup, ConsumerHealth, EntryId, GroupHealth, InvalidName, Start};

/// The most ids in one command.
pub(super) const MOST_IDS: usize = 1_000;

impl RedisStream {
    /// Creates a consumer group that begins at `start`; creates the stream if it does not exist.
    ///
    /// With [`Start::Beginning`], the default, every existing group is fine: it has gone on to read since. Another
    /// start is the caller's explicit wish, so an existing group is fine only if it stands exactly there.
    ///
    /// ```no_run
    /// # async fn example(orders: streamgate::stream::RedisStream) -> Result<(), Box<dyn std::error::Error>> {
    /// use streamgate::stream::Start;
    ///
    /// orders.create_group("billing", Start::End).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// See [`CreateGroupError`].
    pub async fn create_group(&self, name: &str, start: Start) -> Result<(), CreateGroupError> {
        ConsumerGroup::check_name(name)
            .map_err(|source| CreateGroupError::InvalidName { name: name.to_owned(), source })?;
        let mut cmd = redis::cmd("XGROUP");
        cmd.arg("CREATE").arg(self.key.as_str()).arg(name).arg(start.to_id()).arg("MKSTREAM");
        match self.redis.admin_command(&cmd).await {
            Err(error) if error.message().starts_with("BUSYGROUP") => self.check_start(name, start).await,
            answer => Ok(answer.map(drop)?),
        }
    }

    async fn check_start(&self, name: &str, start: Start) -> Result<(), CreateGroupError> {
        let wanted = match start {
            Start::Beginning => return Ok(()),
            Start::End => self.last_id().await?,
            Start::After(id) => id,
        };
        let at = self.position(name).await?;
        match at == wanted {
            true => Ok(()),
            false => Err(CreateGroupError::Elsewhere { name: name.to_owned(), at, wanted }),
        }
    }

    /// The last entry that a group has delivered.
    async fn position(&self, group: &str) -> Result<EntryId, Error> {
        let groups = crate::stream::health::groups_of(&self.redis, &self.key).await?;
        let found = groups.into_iter().find(|(name, _)| name == group.as_bytes());
        found
            .map(|(_, last)| last)
            .ok_or_else(|| Error::new(ErrorKind::NoGroup, "it was destroyed meanwhile"))
    }

    /// Deletes a group with its pending and delayed entries: nobody gets them through this group any more. They stay
    /// on the stream. False if there was no such group.
    ///
    /// # Errors
    /// The connection failed, or the server refused the command. If no answer came, the group may be gone.
    pub async fn destroy_group(&self, name: &str) -> Result<bool, Error> {
        let script = Script::new(include_str!("../scripts/destroy_group.lua"));
        let [delayed, ids] = [self.key.delayed(), self.key.delayed_ids()];
        let (delayed, ids) = (format!("{delayed}{name}"), format!("{ids}{name}"));
        let keys = [self.key.as_str(), &delayed, &ids];
        let destroyed = script.run_aside(&self.redis, &keys, &[name.as_bytes()]).await?;
        Ok(destroyed == Value::Int(1))
    }

    /// The groups, each with its position, its lag, its pending entries and its consumers; none if the stream does
    /// not exist.
    ///
    /// # Errors
    /// The connection failed, or the server refused the command.
    pub async fn groups(&self) -> Result<Vec<GroupHealth>, Error> {
        GroupHealth::all(&self.redis, &self.key).await
    }

    /// The consumers of a group.
    ///
    /// # Errors
    /// There is no such group ([`ErrorKind::NoGroup`]), the connection failed, or the server refused the command.
    pub async fn consumers(&self, group: &str) -> Result<Vec<ConsumerHealth>, Error> {
        let mut cmd = redis::cmd("XINFO");
        cmd.arg("CONSUMERS").arg(self.key.as_str()).arg(group);
        match self.redis.admin_command(&cmd).await {
            Err(error) if is_no_such_key(&error) => {
                let text = format!("there is no stream {}, so it has no group {group}", self.key);
                Err(Error::new(ErrorKind::NoGroup, text))
            }
            answer => ConsumerHealth::list(&answer?),
        }
    }

    /// Acknowledges entries for a group: they leave its pending entries, and stay on the stream. Returns how many
    /// were pending; 0 also if there is no such group.
    ///
    /// # Errors
    /// The connection failed, or the server refused the command. If no answer came, they may be acknowledged; to
    /// acknowledge them again is safe.
    pub async fn acknowledge(&self, group: &str, ids: &[EntryId]) -> Result<u64, Error> {
        let mut acknowledged = 0;
        for ids in ids.chunks(MOST_IDS) {
            let mut cmd = redis::cmd("XACK");
            cmd.arg(self.key.as_str()).arg(group);
            ids.iter().for_each(|id| {
                cmd.arg(id.to_string());
            });
            acknowledged += count_in("XACK", self.redis.command(&cmd).await?)?;
        }
        Ok(acknowledged)
    }
}

/// The number that a command returned.
pub(super) fn count_in(command: &str, answer: Value) -> Result<u64, Error> {
    let unexpected = Error::unexpected(command, &answer);
    redis::from_redis_value(answer).map_err(|_| unexpected)
}

/// Why a group was not created.
#[derive(Debug, thiserror::Error)]
pub enum CreateGroupError {
    /// The name is not valid.
    #[error("`{name}` is no name of a group, which {source}")]
    InvalidName {
        /// The name.
        name: String,
        /// The rule.
        #[source]
        source: InvalidName,
    },
    /// The group exists and stands elsewhere than it was to begin.
    #[error(
        "the group {name} exists and has read up to {at}, but was to begin after {wanted}: to use it as it is, create it with `Start::Beginning`; to begin there, call `destroy_group` first, which drops its pending entries"
    )]
    Elsewhere {
        /// The name.
        name: String,
        /// The last entry that it has delivered.
        at: EntryId,
        /// The id after which it was to begin.
        wanted: EntryId,
    },
    /// The connection failed, or the server refused the command.
    #[error(transparent)]
    Redis(#[from] Error),
}
