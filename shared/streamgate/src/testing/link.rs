use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::RedisServer;

/// A TCP way to a [`RedisServer`] that can be made bad: it holds, delays and cuts.
///
/// What goes over it is passed on as it comes; whatever is changed holds for open connections and
/// new ones alike.
pub struct Link {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    ended: AtomicBool,
}

#[derive(Default)]
struct State {
    /// Where new connections go.
    server: PathBuf,
    /// How many connections there were so far.
    opened: u64,
    /// Nothing passes on connections before this one.
    frozen_before: u64,
    /// Nothing passes towards the server.
    requests_held: bool,
    /// Nothing passes towards the client.
    replies_held: bool,
    /// Before each piece of data, either way.
    delay: Duration,
    /// Bytes towards clients until every connection with more to say is cut.
    replies_left: Option<usize>,
    /// One cut is enough.
    cut_once: bool,
    /// Both ends of what is open.
    open: Vec<(TcpStream, UnixStream)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    ToServer,
    ToClient,
}

impl Link {
    /// A good link to `server`, which may be killed and restarted meanwhile.
    pub fn to(server: &RedisServer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let shared = Arc::new(Shared {
            state: Mutex::new(State { server: server.socket(), ..State::default() }),
            changed: Condvar::new(),
            ended: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if accepting.ended.load(Ordering::Acquire) {
                    return;
                }
                accepting.open(client);
            }
        });
        Self { address, shared }
    }

    /// The URL to connect to.
    pub fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// Lets nothing pass any more, either way; connections stay and new ones are accepted: a peer
    /// that vanished without a word.
    pub fn hold(&self) {
        self.change(|state| (state.requests_held, state.replies_held) = (true, true));
    }

    /// Lets nothing pass any more on what is open, and serves new connections: half-open, as after a
    /// firewall has forgotten them.
    pub fn freeze(&self) {
        self.change(|state| state.frozen_before = state.opened);
    }

    /// Leads new connections to `server`; what is open stays where it is.
    pub fn point_to(&self, server: &RedisServer) {
        self.change(|state| state.server = server.socket());
    }

    /// Lets requests pass and keeps the replies: the server executes, nobody learns of it.
    pub fn hold_replies(&self) {
        self.change(|state| state.replies_held = true);
    }

    /// Delays each piece of data by `delay`, either way.
    pub fn delay(&self, delay: Duration) {
        self.change(|state| state.delay = delay);
    }

    /// Lets `bytes` more pass towards clients; whoever should get more is cut off instead, after
    /// the server has executed what was asked. Goes on until [`Link::flow`].
    pub fn cut_replies_after(&self, bytes: usize) {
        self.change(|state| state.replies_left = Some(bytes));
    }

    /// Cuts the connection that should get the next reply, after the server has executed what was
    /// asked; then it is good again.
    pub fn cut_next_reply(&self) {
        self.change(|state| (state.replies_left, state.cut_once) = (Some(0), true));
    }

    /// Cuts every open connection now; new ones are served.
    pub fn cut(&self) {
        self.change(|state| state.open.drain(..).for_each(|(client, server)| close(&client, &server)));
    }

    /// Makes it good again: what was held is passed on.
    pub fn flow(&self) {
        self.change(|state| {
            let good =
                State { server: std::mem::take(&mut state.server), opened: state.opened, ..State::default() };
            *state = State { open: std::mem::take(&mut state.open), ..good };
        });
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.shared.state());
        self.shared.changed.notify_all();
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Release);
        self.cut();
        self.flow();
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Carries one connection, in a thread each way.
    fn open(self: &Arc<Self>, client: TcpStream) {
        let target = self.state().server.clone();
        let Ok(server) = UnixStream::connect(target) else { return };
        let _ = client.set_nodelay(true);
        let (Ok(client_end), Ok(server_end)) = (client.try_clone(), server.try_clone()) else { return };
        let (Ok(from_client), Ok(to_server)) = (client.try_clone(), server.try_clone()) else { return };
        let mut state = self.state();
        // Those that are over are forgotten here, so that a long run does not collect them.
        state.open.retain(|(client, _)| client.peer_addr().is_ok());
        state.open.push((client_end, server_end));
        let number = state.opened;
        state.opened += 1;
        drop(state);
        let (there, back) = (Arc::clone(self), Arc::clone(self));
        thread::spawn(move || there.carry(from_client, to_server, number, Direction::ToServer));
        thread::spawn(move || back.carry(server, client, number, Direction::ToClient));
    }

    fn carry<R: Read + End, W: Write + End>(
        &self,
        mut from: R,
        mut to: W,
        number: u64,
        direction: Direction,
    ) {
        let mut buffer = [0; 16 << 10];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            let allowed = self.wait_to_pass(length, number, direction);
            if to.write_all(&buffer[..allowed]).is_err() || allowed < length {
                break;
            }
        }
        from.end();
        to.end();
    }

    /// How much of `length` bytes may pass on connection `number`, once it may.
    fn wait_to_pass(&self, length: usize, number: u64, direction: Direction) -> usize {
        let delay = self.state().delay;
        if !delay.is_zero() {
            thread::sleep(delay);
        }
        let held = |state: &mut State| {
            let this_way = match direction {
                Direction::ToServer => state.requests_held,
                Direction::ToClient => state.replies_held,
            };
            this_way || number < state.frozen_before
        };
        let state = self.changed.wait_while(self.state(), held);
        let mut state = state.unwrap_or_else(PoisonError::into_inner);
        match &mut state.replies_left {
            Some(left) if direction == Direction::ToClient => {
                let allowed = length.min(*left);
                *left -= allowed;
                if allowed < length && state.cut_once {
                    (state.replies_left, state.cut_once) = (None, false);
                }
                allowed
            }
            _ => length,
        }
    }
}

/// A stream that can be ended for both of its users.
trait End {
    fn end(&self);
}

impl End for TcpStream {
    fn end(&self) {
        let _ = self.shutdown(Shutdown::Both);
    }
}

impl End for UnixStream {
    fn end(&self) {
        let _ = self.shutdown(Shutdown::Both);
    }
}

fn close(client: &TcpStream, server: &UnixStream) {
    client.end();
    server.end();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::eventually;

    fn connection(link: &Link) -> redis::Connection {
        let client = redis::Client::open(link.url()).expect("a URL");
        let connection = client.get_connection().expect("connects");
        connection.set_read_timeout(Some(Duration::from_millis(100))).expect("valid");
        connection
    }

    fn incr(connection: &mut redis::Connection) -> redis::RedisResult<u64> {
        redis::cmd("INCR").arg("n").query(connection)
    }

    #[test]
    fn held_replies_are_executed_and_held_requests_are_not() {
        let server = RedisServer::start();
        let link = Link::to(&server);
        assert_eq!(incr(&mut connection(&link)).expect("an answer"), 1);
        let (mut first, mut second) = (connection(&link), connection(&link));

        link.hold_replies();
        incr(&mut first).expect_err("nobody learns of it");
        eventually("it is executed", || server.command::<u64>(&["GET", "n"]) == 2);
        link.hold();
        incr(&mut second).expect_err("it does not arrive");
        assert_eq!(server.command::<u64>(&["GET", "n"]), 2);

        link.flow();
        eventually("what was held arrives", || server.command::<u64>(&["GET", "n"]) == 3);
    }

    #[test]
    fn a_connection_is_cut_after_so_many_bytes_and_a_new_one_works() {
        let server = RedisServer::start();
        let link = Link::to(&server);
        let mut first = connection(&link);

        link.cut_replies_after(2);
        incr(&mut first).expect_err("`:1` without its end");
        link.flow();

        assert_eq!(server.command::<u64>(&["GET", "n"]), 1, "it was executed");
        incr(&mut first).expect_err("the connection is gone");
        assert_eq!(incr(&mut connection(&link)).expect("an answer"), 2);
    }

    #[test]
    fn only_the_next_reply_is_cut() {
        let server = RedisServer::start();
        let link = Link::to(&server);
        let (mut first, mut second) = (connection(&link), connection(&link));

        link.cut_next_reply();
        incr(&mut first).expect_err("cut");

        assert_eq!(incr(&mut second).expect("an answer"), 2);
    }

    #[test]
    fn cutting_ends_what_is_open_and_nothing_else() {
        let server = RedisServer::start();
        let link = Link::to(&server);
        let mut first = connection(&link);

        link.cut();

        incr(&mut first).expect_err("cut");
        assert_eq!(incr(&mut connection(&link)).expect("an answer"), 1);
    }

    #[test]
    fn what_is_frozen_stays_silent_and_a_new_connection_works() {
        let server = RedisServer::start();
        let link = Link::to(&server);
        let mut first = connection(&link);

        link.freeze();

        incr(&mut first).expect_err("silent");
        assert_eq!(incr(&mut connection(&link)).expect("an answer"), 1);
    }

    #[test]
    fn a_link_that_is_pointed_elsewhere_leads_new_connections_there() {
        let (one, other) = (RedisServer::start(), RedisServer::start());
        let link = Link::to(&one);
        let mut first = connection(&link);

        link.point_to(&other);
        incr(&mut first).expect("still the first");
        incr(&mut connection(&link)).expect("the other");

        assert_eq!((one.command::<u64>(&["GET", "n"]), other.command::<u64>(&["GET", "n"])), (1, 1));
    }
}
