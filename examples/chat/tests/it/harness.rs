//! Replicas of the chat, and a client for Server-Sent Events that knows nothing but sockets.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};
use stack::process::PATIENCE;
use streamgate::testing::{RedisServer, eventually};

/// No sender is limited, unless a test says so.
const UNLIMITED: [(&str, &str); 2] = [("CHAT_SEND_RATE", "1000000"), ("CHAT_SEND_BURST", "1000000")];

/// A running replica. It is killed on drop.
pub(crate) struct Replica {
    pub(crate) process: stack::Process,
    pub(crate) address: SocketAddr,
}

impl Replica {
    /// Starts a replica and waits until it is ready.
    pub(crate) fn start(server: &RedisServer, settings: &[(&str, &str)]) -> Self {
        let replica = Self::unready(server, settings);
        eventually("the replica is ready", || replica.get("/readyz").status == 200);
        replica
    }

    /// Starts a replica, whatever becomes of it.
    pub(crate) fn unready(server: &RedisServer, settings: &[(&str, &str)]) -> Self {
        let mut command = stack::clean(env!("CARGO_BIN_EXE_chat"));
        command.envs(UNLIMITED).env("REDIS_URL", server.url()).env("LOG_FORMAT", "json");
        command.env("CHAT_LISTEN", "127.0.0.1:0").envs(settings.iter().copied());
        let mut process = stack::Process::start("chat", command).expect("it starts");
        let address = process.named(&["address"]).expect("it names its address").swap_remove(0);
        Self { process, address: address.parse().expect("an address") }
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        request(self.address, &format!("GET {path} HTTP/1.1\r\n"), "").expect("answered")
    }

    /// Posts JSON.
    pub(crate) fn post(&self, path: &str, body: &str) -> Answer {
        self.post_with(path, "content-type: application/json\r\n", body)
    }

    /// Posts with these headers, each with its line end.
    pub(crate) fn post_with(&self, path: &str, headers: &str, body: &str) -> Answer {
        let head = format!("POST {path} HTTP/1.1\r\n{headers}content-length: {}\r\n", body.len());
        request(self.address, &head, body).expect("answered")
    }

    /// Sends a message to a room and returns its id.
    pub(crate) fn send_to(&self, room: &str, content: &str) -> String {
        let answer = self.post(&format!("/api/chat/send?room={room}"), &message(content));
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["messageId"].as_str().expect("an id").to_owned()
    }

    pub(crate) fn send(&self, content: &str) -> String {
        self.send_to("general", content)
    }

    /// The value of a metric; 0 if it has none.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let scrape = self.get("/metrics").body;
        let value = scrape.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.map_or(0.0, |value| value.parse().expect("a number"))
    }

    /// Listens as a client.
    pub(crate) fn listen(&self, query: &str, last_event_id: Option<&str>) -> Sse {
        Sse::connect(self.address, query, last_event_id, "").unwrap_or_else(|refused| panic!("{refused:?}"))
    }
}

/// The body of a message of Ann.
pub(crate) fn message(content: &str) -> String {
    json!({"userId": "u1", "userName": "Ann", "userRole": "customer", "content": content}).to_string()
}

/// The answer to a request.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

/// Sends a request on a connection of its own; `head` lacks host and empty line.
pub(crate) fn request(address: SocketAddr, head: &str, body: &str) -> std::io::Result<Answer> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(format!("{head}host: chat\r\nconnection: close\r\n\r\n{body}").as_bytes())?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let (head, body) = text.split_once("\r\n\r\n").ok_or(ErrorKind::UnexpectedEof)?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or(ErrorKind::InvalidData)?;
    Ok(Answer { status, head: head.to_owned(), body: body.to_owned() })
}

/// An event, a comment, or both, up to the empty line.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct Block {
    pub(crate) event: String,
    pub(crate) id: Option<String>,
    pub(crate) retry: Option<u64>,
    pub(crate) comment: Option<String>,
    pub(crate) data: Value,
}

/// A client of the stream.
#[derive(Debug)]
pub(crate) struct Sse {
    stream: BufReader<TcpStream>,
    pub(crate) head: String,
    /// The id to come back with.
    pub(crate) last_event_id: String,
    /// True once the server has ended the stream in order, with the last chunk.
    pub(crate) ended: bool,
    text: String,
}

impl Sse {
    /// Connects; an answer other than 200 is the error.
    pub(crate) fn connect(
        address: SocketAddr,
        query: &str,
        last_event_id: Option<&str>,
        headers: &str,
    ) -> Result<Self, Answer> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE).expect("connected");
        Self::over(stream, query, last_event_id, headers)
    }

    /// A client whose system takes in only a few kilobytes that it has not read.
    pub(crate) fn narrow(address: SocketAddr, query: &str) -> Self {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).expect("a socket");
        socket.set_recv_buffer_size(4_096).expect("smaller");
        socket.connect(&address.into()).expect("connected");
        Self::over(socket.into(), query, None, "").unwrap_or_else(|refused| panic!("{refused:?}"))
    }

    fn over(
        mut stream: TcpStream,
        query: &str,
        last_event_id: Option<&str>,
        headers: &str,
    ) -> Result<Self, Answer> {
        stream.set_read_timeout(Some(PATIENCE)).expect("set");
        let last = last_event_id.map(|id| format!("last-event-id: {id}\r\n")).unwrap_or_default();
        let head = format!("GET /api/chat/stream?{query} HTTP/1.1\r\nhost: chat\r\n{headers}{last}\r\n");
        stream.write_all(head.as_bytes()).expect("sent");
        let mut client = Self {
            stream: BufReader::new(stream),
            head: String::new(),
            last_event_id: last_event_id.unwrap_or_default().to_owned(),
            ended: false,
            text: String::new(),
        };
        while !client.head.ends_with("\r\n\r\n") {
            assert_ne!(client.stream.read_line(&mut client.head).expect("in time"), 0, "{}", client.head);
        }
        let status = client.head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        if status == 200 {
            return Ok(client);
        }
        let length = header(&client.head, "content-length").and_then(|length| length.parse().ok());
        let mut body = vec![0; length.unwrap_or_default()];
        client.stream.read_exact(&mut body).expect("a body");
        Err(Answer { status, head: client.head, body: String::from_utf8(body).expect("text") })
    }

    /// The next block of lines; `None` at the end, or when the connection breaks.
    pub(crate) fn block(&mut self) -> Option<Block> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let block = parsed(block);
                self.text = rest.to_owned();
                if let Some(id) = &block.id {
                    self.last_event_id.clone_from(id);
                }
                return Some(block);
            }
            let chunk = self.chunk()?;
            self.text += &chunk;
        }
    }

    /// The next event; comments are passed over.
    pub(crate) fn event(&mut self) -> Option<Block> {
        loop {
            let block = self.block()?;
            if !block.event.is_empty() {
                return Some(block);
            }
        }
    }

    /// The next event, which must be a message; its content.
    pub(crate) fn content(&mut self) -> String {
        let block = self.event().expect("the stream goes on");
        assert_eq!(block.event, "chat-message", "{block:?}");
        assert_eq!(block.id.as_deref(), block.data["id"].as_str());
        block.data["content"].as_str().expect("text").to_owned()
    }

    /// The contents of the next messages.
    pub(crate) fn contents(&mut self, count: usize) -> Vec<String> {
        (0..count).map(|_| self.content()).collect()
    }

    fn chunk(&mut self) -> Option<String> {
        let mut size = String::new();
        if self.read(|stream| stream.read_line(&mut size))? == 0 {
            return None;
        }
        let size = usize::from_str_radix(size.trim(), 16).expect("the size of a chunk");
        let mut chunk = vec![0; size + 2];
        self.read(|stream| stream.read_exact(&mut chunk))?;
        chunk.truncate(size);
        self.ended = size == 0;
        (size > 0).then(|| String::from_utf8(chunk).expect("an event is not cut inside a character"))
    }

    /// `None` if the connection is broken. To wait in vain is a failure.
    fn read<T>(&mut self, read: impl FnOnce(&mut BufReader<TcpStream>) -> std::io::Result<T>) -> Option<T> {
        match read(&mut self.stream) {
            Ok(read) => Some(read),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                panic!("nothing came within {PATIENCE:?}, after {}", self.last_event_id)
            }
            Err(_) => None,
        }
    }
}

fn parsed(text: &str) -> Block {
    let mut block = Block::default();
    for line in text.lines() {
        match line.split_once(": ").unwrap_or((line, "")) {
            ("event", name) => block.event = name.to_owned(),
            ("id", id) => block.id = Some(id.to_owned()),
            ("retry", ms) => block.retry = Some(ms.parse().expect("milliseconds")),
            ("", comment) => block.comment = Some(comment.to_owned()),
            ("data", data) => block.data = serde_json::from_str(data).expect("JSON"),
            _ => panic!("no line of an event: {line:?}"),
        }
    }
    block
}

/// The number of entries on the stream.
pub(crate) fn stored(server: &RedisServer) -> u64 {
    server.command(&["XLEN", "chat-messages"])
}
