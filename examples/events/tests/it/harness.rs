//! What the tests share: a Redis server, a database of one of the two kinds, and real processes on them.

use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use reqwest::{Client, Method};
use serde_json::{Value, json};
use sqlx::Connection;
use stack::{Postgres, Process, clean, postgres};
use streamgate::testing::{Link, RedisServer, eventually_async};
use tempfile::TempDir;

/// How long a process may take to end after it was asked.
const GRACE: Duration = Duration::from_secs(20);

/// The kinds of databases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Sqlite,
    Postgres,
}

/// Runs each test on both kinds of databases.
macro_rules! on_both_databases {
    ($($test:ident),* $(,)?) => {
        mod on_sqlite {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    let lab = $crate::harness::Lab::new($crate::harness::Kind::Sqlite).await;
                    super::$test(lab.expect("SQLite is always there")).await;
                }
            )*
        }

        mod on_postgres {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    if let Some(lab) = $crate::harness::Lab::new($crate::harness::Kind::Postgres).await {
                        super::$test(lab).await;
                    }
                }
            )*
        }
    };
}
pub(crate) use on_both_databases;

/// A Redis server and an empty database.
pub(crate) struct Lab {
    pub(crate) redis: RedisServer,
    pub(crate) database: Database,
    client: Client,
}

/// An empty database of its own.
pub(crate) struct Database {
    pub(crate) kind: Kind,
    pub(crate) url: String,
    /// The server, if it is this test's alone.
    server: Option<Postgres>,
    _folder: TempDir,
}

/// Something that keeps a database from answering while it is held.
pub(crate) struct Outage<'a> {
    database: &'a mut Database,
    lock: Option<sqlx::SqliteConnection>,
}

/// One server for all tests of this run; it ends with the process.
fn shared_server() -> Option<&'static (Postgres, TempDir)> {
    static SERVER: OnceLock<Option<(Postgres, TempDir)>> = OnceLock::new();
    SERVER.get_or_init(|| start_server(&["-c", "max_connections=400"])).as_ref()
}

fn start_server(options: &[&str]) -> Option<(Postgres, TempDir)> {
    let programs = match postgres::find() {
        Ok(programs) => programs,
        Err(problem) => {
            eprintln!("SKIPPED: the half on PostgreSQL of this test: {problem}");
            return None;
        }
    };
    let folder = tempfile::Builder::new().prefix("events-pg-").tempdir().expect("a folder");
    let options = [&["-c", "fsync=off"], options].concat();
    Some((Postgres::start(&programs, folder.path(), &options).expect("PostgreSQL starts"), folder))
}

impl Database {
    async fn new(kind: Kind) -> Option<Self> {
        let folder = tempfile::Builder::new().prefix("events-").tempdir().expect("a folder");
        let url = match kind {
            Kind::Sqlite => format!("sqlite:{}", folder.path().join("events.db").display()),
            Kind::Postgres => {
                let (server, _) = shared_server()?;
                let name = format!("t{}", events::model::new_id().replace('-', ""));
                let create = sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"));
                let mut admin = sqlx::PgConnection::connect(&server.url("postgres")).await.expect("connects");
                sqlx::query(create).execute(&mut admin).await.expect("created");
                server.url(&name)
            }
        };
        Some(Self { kind, url, server: None, _folder: folder })
    }

    /// Makes the database unusable until the outage is over: PostgreSQL crashes, SQLite is locked by another program.
    pub(crate) async fn outage(&mut self) -> Outage<'_> {
        let mut lock = None;
        match &mut self.server {
            Some(server) => server.crash(),
            None => {
                let url = self.url.replace("sqlite:", "sqlite://");
                let mut connection = sqlx::SqliteConnection::connect(&url).await.expect("connects");
                sqlx::query("BEGIN IMMEDIATE").execute(&mut connection).await.expect("locked");
                lock = Some(connection);
            }
        }
        Outage { database: self, lock }
    }

    /// Locks the row of an event until the transaction is dropped: its effect has to wait.
    pub(crate) async fn lock_events(&self) -> Box<dyn Send> {
        match self.kind {
            Kind::Sqlite => {
                let url = self.url.replace("sqlite:", "sqlite://");
                let mut connection = sqlx::SqliteConnection::connect(&url).await.expect("connects");
                sqlx::query("BEGIN IMMEDIATE").execute(&mut connection).await.expect("locked");
                Box::new(connection)
            }
            Kind::Postgres => {
                let mut connection = sqlx::PgConnection::connect(&self.url).await.expect("connects");
                sqlx::query("BEGIN").execute(&mut connection).await.expect("begun");
                let lock = "LOCK TABLE events IN ACCESS EXCLUSIVE MODE";
                sqlx::query(lock).execute(&mut connection).await.expect("locked");
                Box::new(connection)
            }
        }
    }
}

impl Outage<'_> {
    /// The database can be used again.
    pub(crate) async fn end(mut self) {
        match &mut self.database.server {
            Some(server) => server.restart().expect("PostgreSQL starts again"),
            None => {
                if let Some(connection) = self.lock.take() {
                    connection.close().await.expect("closed");
                }
            }
        }
    }
}

impl Lab {
    /// `None`, loudly, if there is no PostgreSQL to be had.
    pub(crate) async fn new(kind: Kind) -> Option<Self> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let database = Database::new(kind).await?;
        let client = Client::builder().no_proxy().build().expect("a client");
        Some(Self { redis: RedisServer::start_durable(), database, client })
    }

    /// Gives the database a server of its own, which the test may crash.
    pub(crate) fn with_own_server(mut self) -> Self {
        if self.database.kind == Kind::Postgres {
            let (server, folder) = start_server(&[]).expect("it was there before");
            self.database = Database {
                kind: Kind::Postgres,
                url: server.url("postgres"),
                server: Some(server),
                _folder: folder,
            };
        }
        self
    }

    /// A command of the program, on this Redis and this database.
    pub(crate) fn command(&self, words: &[&str], settings: &[(&str, &str)]) -> Command {
        let mut command = clean(Path::new(env!("CARGO_BIN_EXE_events")));
        command.args(words).env("DATABASE_URL", &self.database.url).env("REDIS_URL", self.redis.url());
        command
            .env("LOG_FORMAT", "json")
            .env("EVENTS_DATABASE_TIMEOUT", "1s")
            .env("EVENTS_SQLITE_SYNC", "normal");
        command.env("EVENTS_RETRY_FIRST", "50ms").env("EVENTS_RETRY_LONGEST", "200ms");
        command.envs(settings.iter().copied());
        command
    }

    pub(crate) fn process(&self, name: &str, words: &[&str], settings: &[(&str, &str)]) -> Process {
        Process::start(name, self.command(words, settings)).expect("it starts")
    }

    /// A running API without tokens.
    pub(crate) async fn api(&self) -> Api {
        self.api_with(&[]).await
    }

    pub(crate) async fn api_with(&self, settings: &[(&str, &str)]) -> Api {
        let settings = [
            &[("EVENTS_LISTEN", "127.0.0.1:0"), ("EVENTS_AUTH", "off"), ("EVENTS_RELAY_LEASE", "1s")],
            settings,
        ]
        .concat();
        let mut process = self.process("api", &["api"], &settings);
        let address = process.named(&["api"]).expect("it listens").swap_remove(0);
        let api = Api { process, url: format!("http://{address}"), client: self.client.clone(), token: None };
        eventually_async("the API is ready", async || {
            api.try_get("/readyz").await.is_some_and(|a| a.status == 200)
        })
        .await;
        api
    }

    /// A member of the consumer groups.
    pub(crate) fn member(&self, name: &str) -> Process {
        self.process(name, &["consumer-group", "--name", name], &[])
    }

    /// A member of the consumer groups behind a link to Redis.
    pub(crate) fn member_behind(&self, name: &str, link: &Link) -> Process {
        self.process(name, &["consumer-group", "--name", name], &[("REDIS_URL", &link.url())])
    }

    /// Ids of events on a stream, in order.
    pub(crate) fn on_stream(&self, stream: &str) -> Vec<String> {
        self.redis.ids_on(stream)
    }
}

/// A running API.
pub(crate) struct Api {
    pub(crate) process: Process,
    pub(crate) url: String,
    client: Client,
    pub(crate) token: Option<String>,
}

impl Api {
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask(Method::GET, path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.ask(Method::POST, path, Some(body)).await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Answer {
        self.ask(Method::PUT, path, Some(body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.ask(Method::DELETE, path, None).await
    }

    pub(crate) async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        let mut request = self.request(method, path);
        if let Some(body) = body {
            request = request.json(&body);
        }
        Answer::of(request.send().await.expect("answered")).await
    }

    /// A request that the test can change before it sends it.
    pub(crate) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.url));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    async fn try_get(&self, path: &str) -> Option<Answer> {
        Some(Answer::of(self.request(Method::GET, path).send().await.ok()?).await)
    }

    /// Creates a user and returns its id.
    pub(crate) async fn user(&self, name: &str) -> String {
        let body = json!({"username": name, "email": format!("{name}@example.org")});
        self.post("/api/users", body).await.is(201)["user"]["id"].as_str().expect("an id").to_owned()
    }

    pub(crate) async fn stats(&self) -> Value {
        self.get("/api/events/stats").await.is(200)
    }

    /// Waits until so many events are processed.
    pub(crate) async fn processed(&self, count: u64) {
        eventually_async(&format!("{count} events are processed"), async || {
            self.stats().await["processed"] == count
        })
        .await;
    }

    /// The events that match, the newest first.
    pub(crate) async fn events(&self, query: &str) -> Vec<Value> {
        let page = self.get(&format!("/api/events/processed?{query}")).await.is(200);
        page["events"].as_array().expect("a list").clone()
    }

    /// Kills it (SIGKILL).
    pub(crate) fn kill(self) {
        drop(self.process);
    }

    /// Asks it to end; true if it did by itself.
    pub(crate) fn stop(mut self) -> bool {
        self.process.stop(GRACE)
    }
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) async fn of(response: reqwest::Response) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Self { status, headers, text: response.text().await.expect("text") }
    }

    /// The JSON of an answer with this status.
    pub(crate) fn is(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    /// The problem of an answer with this status.
    pub(crate) fn is_problem(&self, status: u16) -> Value {
        let problem = self.is(status);
        assert_eq!(self.headers["content-type"], "application/problem+json", "{}", self.text);
        assert_eq!(problem["status"], status);
        assert!(problem["title"] != "Error" && problem["detail"].is_string(), "{problem}");
        problem
    }
}
