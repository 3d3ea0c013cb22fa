//! A TCP server that speaks HTTP by a script: it does what an HTTP library would never do.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// What the server does after it has read a request.
#[derive(Clone)]
pub(crate) enum Act {
    /// Sends these bytes.
    Send(Vec<u8>),
    /// Sends these bytes again and again, until the client hangs up.
    Forever(&'static [u8]),
    /// Waits so long, then goes on.
    Wait(Duration),
    /// Sends nothing more, and keeps the connection.
    Hang,
    /// Ends the connection with a reset.
    Reset,
    /// Ends the connection.
    Close,
}

/// A request as the server has read it.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) line: String,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// The running server; it stops when this value is dropped.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    most_busy: Arc<Busy>,
    accepting: JoinHandle<()>,
}

impl Upstream {
    /// Calls `script` with the number of the request, counted from 1, and the request.
    pub(crate) async fn start(script: impl Fn(usize, &Seen) -> Vec<Act> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        Self::on(listener, script)
    }

    /// On a port that was free before.
    pub(crate) fn on(
        listener: TcpListener,
        script: impl Fn(usize, &Seen) -> Vec<Act> + Send + Sync + 'static,
    ) -> Self {
        let address = listener.local_addr().expect("bound");
        let (seen, script) = (Arc::<Mutex<Vec<Seen>>>::default(), Arc::new(script));
        let noted = Arc::clone(&seen);
        let most_busy = Arc::<Busy>::default();
        let busy = Arc::clone(&most_busy);
        let accepting = tokio::spawn(async move {
            // They end with the server.
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (noted, script, busy) = (Arc::clone(&noted), Arc::clone(&script), Arc::clone(&busy));
                connections.spawn(async move { serve(stream, &noted, &*script, &busy).await });
            }
        });
        Self { address, seen, most_busy, accepting }
    }

    /// The same answer each time.
    pub(crate) async fn answering(answer: impl Into<Vec<u8>>) -> Self {
        let answer = answer.into();
        Self::start(move |_, _| vec![Act::Send(answer.clone())]).await
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The most requests at the same time.
    pub(crate) fn most_at_once(&self) -> usize {
        self.most_busy.most.load(Ordering::SeqCst)
    }

    pub(crate) fn count(&self) -> usize {
        self.seen().len()
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("no test panics here").clone()
    }

    pub(crate) fn last(&self) -> Seen {
        self.seen().pop().expect("a request")
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Counts the requests at the same time.
#[derive(Default)]
struct Busy {
    now: AtomicUsize,
    most: AtomicUsize,
}

impl Busy {
    fn enter(&self) -> impl Drop + '_ {
        struct Leave<'a>(&'a Busy);
        impl Drop for Leave<'_> {
            fn drop(&mut self) {
                self.0.now.fetch_sub(1, Ordering::SeqCst);
            }
        }
        self.most.fetch_max(self.now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        Leave(self)
    }
}

async fn serve(
    mut stream: TcpStream,
    noted: &Mutex<Vec<Seen>>,
    script: &(impl Fn(usize, &Seen) -> Vec<Act> + ?Sized),
    busy: &Busy,
) {
    while let Some(request) = read(&mut stream).await {
        let acts = {
            let mut noted = noted.lock().expect("no test panics here");
            noted.push(request.clone());
            script(noted.len(), &request)
        };
        let _busy = busy.enter();
        for act in acts {
            match act {
                Act::Reset => {
                    stream.set_zero_linger().expect("set");
                    return;
                }
                Act::Close => return,
                other => {
                    if !play(&mut stream, other).await {
                        return;
                    }
                }
            }
        }
    }
}

/// False once the client has hung up.
pub(crate) async fn play(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), act: Act) -> bool {
    match act {
        Act::Send(bytes) => stream.write_all(&bytes).await.is_ok(),
        Act::Forever(bytes) => {
            while stream.write_all(bytes).await.is_ok() {}
            false
        }
        Act::Wait(time) => {
            tokio::time::sleep(time).await;
            true
        }
        Act::Hang => {
            let _ = stream.read(&mut [0; 1]).await;
            false
        }
        Act::Reset | Act::Close => false,
    }
}

/// Reads one request; `None` at the end of the connection.
pub(crate) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Option<Seen> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).expect("text");
    let mut lines = head.lines();
    let line = lines.next()?.to_owned();
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let mut body = vec![0; length.map_or(0, |(_, length)| length.parse().expect("a number"))];
    stream.read_exact(&mut body).await.ok()?;
    Some(Seen { line, headers, body })
}

/// A 200 with this body.
pub(crate) fn ok(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// An answer with this status line and these further lines, without a body.
pub(crate) fn empty(status: &str, lines: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n{lines}\r\n").into_bytes()
}
