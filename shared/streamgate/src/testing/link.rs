use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::RedisServer;

/// A TCP proxy in front of a [`RedisServer`] with faults: it can hold and delay data, and cut connections.
///
/// Without a fault it passes on all data at once. Unless a method says otherwise, a fault applies to open and new
/// connections.
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
    /// The socket of the server for new connections.
    server: PathBuf,
    /// The number of connections so far.
    opened: u64,
    /// Connections with a smaller number pass no data.
    frozen_before: u64,
    /// True while no data passes to the server.
    requests_held: bool,
    /// True while no data passes to the client.
    replies_held: bool,
    /// The delay before each piece of data, in both directions.
    delay: Duration,
    /// Bytes that may still pass to clients; a connection with more data is cut.
    replies_left: Option<usize>,
    /// True if only one connection is to be cut.
    cut_once: bool,
    /// Both ends of each open connection.
    open: Vec<(TcpStream, UnixStream)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    ToServer,
    ToClient,
}

impl Link {
    /// A link without faults to `server`, which may be killed and restarted meanwhile.
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

    /// Holds all data in both directions. Connections stay open and new ones are accepted, as with a peer
    /// that vanished.
    pub fn hold(&self) {
        self.change(|state| (state.requests_held, state.replies_held) = (true, true));
    }

    /// Holds all data of open connections, and serves new ones: the old ones are half-open, as after a
    /// firewall has forgotten them.
    pub fn freeze(&self) {
        self.change(|state| state.frozen_before = state.opened);
    }

    /// Leads new connections to `server`; open ones keep their server.
    pub fn point_to(&self, server: &RedisServer) {
        self.change(|state| state.server = server.socket());
    }

    /// Passes commands on and holds the answers: the server executes commands, but the client does not see it.
    pub fn hold_replies(&self) {
        self.change(|state| state.replies_held = true);
    }

    /// Delays each piece of data by `delay`, in both directions.
    pub fn delay(&self, delay: Duration) {
        self.change(|state| state.delay = delay);
    }

    /// Lets `bytes` more pass to clients. A connection that should get more is cut, after
    /// the server has executed its command. Lasts until [`Link::flow`].
    pub fn cut_replies_after(&self, bytes: usize) {
        self.change(|state| state.replies_left = Some(bytes));
    }

    /// Cuts the connection that should get the next answer, after the server has executed its
    /// command; then the fault ends.
    pub fn cut_next_reply(&self) {
        self.change(|state| (state.replies_left, state.cut_once) = (Some(0), true));
    }

    /// Cuts every open connection now; new ones are served.
    pub fn cut(&self) {
        self.change(|state| state.open.drain(..).for_each(|(client, server)| close(&client, &server)));
    }

    /// Ends all faults: held data is passed on.
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
        // Removes closed connections, so that they do not collect in a long run.
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

    /// Waits until data may pass on connection `number`; returns how many of `length` bytes may pass.
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

/// A socket that can be closed for all of its clones.
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
    fn commands_are_executed_if_answers_are_held() {
        let server = RedisServer::start();
        let link = Link::to(&server);
        assert_eq!(incr(&mut connection(&link)).expect("an answer"), 1);
        let (mut first, mut second) = (connection(&link), connection(&link));

        link.hold_replies();
        incr(&mut first).expect_err("the answer is held");
        eventually("it is executed", || server.command::<u64>(&["GET", "n"]) == 2);
        link.hold();
        incr(&mut second).expect_err("it does not arrive");
        assert_eq!(server.command::<u64>(&["GET", "n"]), 2);

        link.flow();
        eventually("the held command arrives", || server.command::<u64>(&["GET", "n"]) == 3);
    }

    #[test]
    fn a_connection_is_cut_after_some_bytes_and_a_new_one_works() {
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
    fn only_the_next_answer_is_cut() {
        let server = RedisServer::start();
        let link = Link::to(&server);
        let (mut first, mut second) = (connection(&link), connection(&link));

        link.cut_next_reply();
        incr(&mut first).expect_err("cut");

        assert_eq!(incr(&mut second).expect("an answer"), 2);
    }

    #[test]
    fn a_cut_ends_open_connections_and_a_new_one_works() {
        let server = RedisServer::start();
        let link = Link::to(&server);
        let mut first = connection(&link);

        link.cut();

        incr(&mut first).expect_err("cut");
        assert_eq!(incr(&mut connection(&link)).expect("an answer"), 1);
    }

    #[test]
    fn a_frozen_connection_is_silent_and_a_new_one_works() {
        let server = RedisServer::start();
        let link = Link::to(&server);
        let mut first = connection(&link);

        link.freeze();

        incr(&mut first).expect_err("silent");
        assert_eq!(incr(&mut connection(&link)).expect("an answer"), 1);
    }

    #[test]
    fn new_connections_go_to_the_server_that_the_link_points_to() {
        let (one, other) = (RedisServer::start(), RedisServer::start());
        let link = Link::to(&one);
        let mut first = connection(&link);

        link.point_to(&other);
        incr(&mut first).expect("still the first");
        incr(&mut connection(&link)).expect("the other");

        assert_eq!((one.command::<u64>(&["GET", "n"]), other.command::<u64>(&["GET", "n"])), (1, 1));
    }
}
