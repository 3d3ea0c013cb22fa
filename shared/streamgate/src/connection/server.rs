//! The one server that all connections of a process lead to.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The identity of that server, if it is known (see [`Peer`](super::peer::Peer)).
#[derive(Default)]
pub(super) struct KnownServer(Mutex<Known>);

#[derive(Default)]
struct Known {
    identity: Option<String>,
    /// The times of the last moves to another server.
    moves: Vec<Instant>,
    /// Until then identities are not compared: each connection leads to another server, as behind some
    /// proxies, or the server restarts again and again.
    ignored_until: Option<Instant>,
}

/// If the identity changes this often within [`MOVING_TIME`], these are no moves: each connection leads to another
/// server.
const MOST_MOVES: usize = 5;

/// See [`MOST_MOVES`].
const MOVING_TIME: Duration = Duration::from_secs(60);

impl KnownServer {
    /// Records the identity of the server that the shared connection leads to. True if it has changed.
    pub(super) fn meet(&self, identity: Option<String>) -> bool {
        let mut known = self.known();
        let now = Instant::now();
        if known.ignored_until.is_some_and(|until| now < until) {
            return false;
        }
        let Some(identity) = identity else { return false };
        let before = known.identity.replace(identity.clone());
        let Some(before) = before.filter(|before| *before != identity) else { return false };
        known.moves.retain(|at| now.duration_since(*at) < MOVING_TIME);
        known.moves.push(now);
        if known.moves.len() < MOST_MOVES {
            tracing::warn!(
                before,
                now = identity,
                "another Redis server answers under this address; all connections move to it"
            );
            return true;
        }
        tracing::error!(
            "each connection to Redis leads to another server; without a proxy in between, the address must lead to one primary only"
        );
        *known = Known { ignored_until: Some(now + MOVING_TIME), ..Known::default() };
        false
    }

    /// True if a connection to the server `identity` leads to another server than the shared connection.
    pub(super) fn differs_from(&self, identity: Option<&str>) -> bool {
        matches!((self.known().identity.as_deref(), identity), (Some(known), Some(found)) if known != found)
    }

    /// The identity, if it is known.
    pub(super) fn identity(&self) -> Option<String> {
        self.known().identity.clone()
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn met(server: &KnownServer, identity: &str) -> bool {
        server.meet(Some(identity.to_owned()))
    }

    #[tokio::test]
    async fn a_changed_identity_is_a_move_and_a_missing_one_is_not() {
        let server = KnownServer::default();

        assert!(!met(&server, "a") && !met(&server, "a"));
        assert!(!server.meet(None));
        assert!(
            server.differs_from(Some("b")) && !server.differs_from(Some("a")) && !server.differs_from(None)
        );
        assert!(met(&server, "b"));
        assert_eq!(server.identity().as_deref(), Some("b"));
    }

    #[tokio::test(start_paused = true)]
    async fn many_changes_of_identity_in_a_minute_are_no_moves() {
        let server = KnownServer::default();
        let names = |n: usize| format!("server {n}");

        assert_eq!((0..20).filter(|n| met(&server, &names(*n))).count(), MOST_MOVES - 1);
        assert!(!server.differs_from(Some("any")));

        let slow = KnownServer::default();
        for n in 0..20 {
            tokio::time::advance(MOVING_TIME / 2).await;
            assert_eq!(met(&slow, &names(n)), n > 0, "failovers are moves");
        }
    }
}
