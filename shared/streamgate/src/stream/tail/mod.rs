//! Reading every entry of a stream without a group.
//!
//! [`Tail`] and [`TailAll`] (`items`) give values one by one, from one stream or from several. They stand on
//! `StreamsReader` (`streams_reader`): one connection and one XREAD for all streams. `place` is its position in one
//! stream, and finds that position again after a failover; `answers` decodes the answers. `History` (`history`) reads
//! the entries of the past page by page.
//!
//! [`TailReader`] (`reader`) is the reader of the hot path, for one stream only.

mod answers;
mod history;
mod items;
mod place;
mod reader;
mod streams_reader;

use redis::{Cmd, Value};

pub(crate) use history::History;
pub use items::{InvalidStreams, Tail, TailAll};
use place::Missed;
pub(crate) use place::News;
pub use reader::TailReader;
pub(crate) use streams_reader::{Begin, Findings, StreamsReader};

use super::EntryId;
use crate::connection::{BlockingConnection, Error, ErrorKind, is_primary};

/// The last possible id: a read behind it returns no entries, but shows that the stream can be read.
const PAST_THE_END: EntryId = EntryId { ms: u64::MAX, seq: u64::MAX };

/// Checks that the node is a primary: a replica answers XREAD, but gets its entries late or never.
async fn check_role(connection: &mut BlockingConnection) -> Result<(), Error> {
    match connection.run(&redis::cmd("HELLO")).await {
        Ok(hello) if is_primary(&hello) == Some(false) => {
            connection.disconnect();
            Err(Error::new(ErrorKind::NotPrimary, "HELLO says that it is a replica"))
        }
        Err(error) if error.kind() == ErrorKind::NotPermitted => {
            connection.does_without("hello", "a primary that was demoted is noticed by the next write");
            Ok(())
        }
        answer => answer.map(drop),
    }
}

/// XINFO STREAM of `key`.
fn info(key: &str) -> Cmd {
    let mut cmd = redis::cmd("XINFO");
    cmd.arg("STREAM").arg(key);
    cmd
}

/// The answer to [`info`], or `None` if there is no stream.
fn if_exists(answer: Result<Value, Error>) -> Result<Option<Value>, Error> {
    match answer {
        Err(error) if error.message().contains("no such key") => Ok(None),
        answer => answer.map(Some),
    }
}
