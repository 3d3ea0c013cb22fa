//! All parts as processes of their own. On a terminal, a live view with keys to kill and restart them; elsewhere, their
//! log lines.

mod parts;
mod screen;
mod stop;
mod view;

use std::io::{IsTerminal, Write};
use std::time::Duration;

use anyhow::{Context, bail};
use jiff::Timestamp;
use service::process;
use tokio::sync::mpsc;

use self::parts::Parts;
use self::screen::Screen;
use self::stop::Stop;
use self::view::Scene;
use crate::inspect::{self, Snapshot};
use crate::message::{Event, Events, ProducerName};
use crate::settings::{DemoArgs, FlowArgs};

/// What the view is told.
#[derive(Debug)]
enum News {
    /// A line of a part.
    Line(String, String),
    /// The state of the system, or why there is none.
    Snapshot(Box<Result<Snapshot, String>>),
    /// Kill or restart the part with this number.
    Toggle(usize),
    /// Write many messages at once.
    Burst,
}

/// Between two looks at the parts.
const TICK: Duration = Duration::from_millis(200);
/// Between two looks at the stream.
const LOOK: Duration = Duration::from_millis(500);
/// Between two lines about the stream where there is no terminal.
const STATUS: Duration = Duration::from_secs(5);
/// Messages shown.
const SHOWN: usize = 50;
/// Messages of a burst.
const BURST: usize = 40;

/// Runs the parts until a signal or a key stops them.
///
/// # Errors
/// Redis cannot be reached at the start, or a part cannot be started, or all have ended.
pub fn run(args: DemoArgs) -> anyhow::Result<()> {
    let runtime = process::runtime(1).context("the runtime cannot start")?;
    runtime.block_on(show(&args.flow, Some(&args), LOOK))
}

/// Shows the state of the stream on the terminal, without parts, until a signal or a key ends it.
///
/// # Errors
/// Redis cannot be reached at the start.
pub async fn watch(flow: &FlowArgs, every: Duration) -> anyhow::Result<()> {
    show(flow, None, every).await
}

async fn show(flow: &FlowArgs, parts: Option<&DemoArgs>, every: Duration) -> anyhow::Result<()> {
    let (tell, news) = mpsc::channel(1_024);
    let stop = Stop::on_signals()?;
    let events = inspect::connect(flow).await?;
    tokio::spawn(look_again(events.clone(), flow.group.clone(), every, tell.clone()));
    let parts = Parts::start(parts, tell.clone())?;
    let is_terminal = std::io::stdout().is_terminal() && std::io::stdin().is_terminal();
    let screen = is_terminal.then(|| Screen::open(stop.clone(), tell.clone())).transpose();
    let screen = screen.context("the terminal cannot be used")?;
    let scene = Scene::new(flow.stream.as_str(), &flow.group);
    let mut demo = Demo { events, parts, scene, screen, stop, tell, news };
    let outcome = demo.watch().await;
    demo.stop().await;
    outcome
}

struct Demo {
    events: Events,
    parts: Parts,
    scene: Scene,
    screen: Option<Screen>,
    stop: Stop,
    tell: mpsc::Sender<News>,
    news: mpsc::Receiver<News>,
}

impl Demo {
    /// Shows what happens until it is asked to stop.
    async fn watch(&mut self) -> anyhow::Result<()> {
        let mut ticks = tokio::time::interval(TICK);
        let mut status = tokio::time::interval(STATUS);
        loop {
            tokio::select! {
                () = self.stop.asked() => return Ok(()),
                Some(news) = self.news.recv() => self.hear(news),
                _ = ticks.tick() => self.parts.check(),
                _ = status.tick(), if self.screen.is_none() => say("redisflow", &self.scene.status()),
            }
            if self.parts.have_ended() && self.screen.is_none() {
                bail!("all parts have ended by themselves: see their last lines");
            }
            self.scene.parts = self.parts.rows();
            if let Some(screen) = &mut self.screen {
                screen.draw(&self.scene)?;
            }
        }
    }

    async fn stop(&mut self) {
        self.scene.stopping = true;
        if let Some(screen) = &mut self.screen {
            // The terminal may have gone; the parts are to end nevertheless.
            let _ = screen.draw(&self.scene);
        }
        tokio::select! {
            () = self.parts.stop() => {}
            () = self.stop.at_once() => self.parts.kill(),
        }
        // The last lines of the parts.
        while let Ok(news) = self.news.try_recv() {
            self.hear(news);
        }
    }

    fn hear(&mut self, news: News) {
        match news {
            News::Line(part, line) if self.screen.is_some() => self.scene.log(&part, &line),
            News::Line(part, line) => say(&part, &line),
            News::Snapshot(snapshot) => self.scene.take(*snapshot),
            News::Toggle(number) => self.parts.toggle(number),
            News::Burst => drop(tokio::spawn(burst(self.events.clone(), self.tell.clone()))),
        }
    }
}

/// Reads the state of the system again and again.
async fn look_again(events: Events, group: String, every: Duration, tell: mpsc::Sender<News>) {
    let mut looks = tokio::time::interval(every);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        let snapshot = Snapshot::read(&events, &group, SHOWN).await;
        if tell.send(News::Snapshot(Box::new(snapshot.map_err(|error| error.to_string())))).await.is_err() {
            return;
        }
    }
}

/// Writes many messages at once, so that every consumer holds some.
async fn burst(events: Events, tell: mpsc::Sender<News>) {
    let made = |name: ProducerName| {
        let content = |number| format!("Message #{number} of {BURST} at once");
        (1..=BURST).map(|number| Event::new(&name, content(number), Timestamp::now())).collect::<Vec<_>>()
    };
    let Ok(messages) = "burst".parse().map(made) else { return };
    let said = match events.writer().send_batch(&messages).await {
        Ok(ids) => format!("{} messages written", ids.len()),
        Err(error) => format!("not all messages are written: {error}"),
    };
    // The demo may have ended.
    let _ = tell.send(News::Line("burst".to_owned(), said)).await;
}

/// Prints a line of a part. If nobody reads the lines, the parts go on.
fn say(part: &str, line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{part:<10} | {line}").and_then(|()| out.flush());
}
