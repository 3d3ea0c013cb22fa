use std::collections::VecDeque;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Style, Stylize};
use ratatui::text::Line;
use ratatui::widgets::{Block, Cell, Paragraph, Row, Table};

use crate::inspect::{Meter, Rates, Snapshot, printable};

/// What the view shows. Drawing changes nothing.
#[derive(Debug, Default)]
pub(super) struct Scene {
    stream: String,
    group: String,
    /// The parts that the demo has started.
    pub(super) parts: Vec<PartRow>,
    /// True while the parts end.
    pub(super) stopping: bool,
    snapshot: Option<Snapshot>,
    /// Why the snapshot is an old one.
    problem: Option<String>,
    meter: Meter,
    rates: Rates,
    /// The last lines of the parts, newest last.
    lines: VecDeque<String>,
}

/// A part that the demo has started.
#[derive(Debug, Clone)]
pub(super) struct PartRow {
    pub(super) name: String,
    pub(super) is_consumer: bool,
    pub(super) state: String,
}

/// Lines kept.
const LINES: usize = 100;

impl Scene {
    pub(super) fn new(stream: &str, group: &str) -> Self {
        Self { stream: stream.to_owned(), group: group.to_owned(), ..Self::default() }
    }

    /// A newer state of the system.
    pub(super) fn take(&mut self, snapshot: Result<Snapshot, String>) {
        match snapshot {
            Ok(snapshot) => {
                self.rates = self.meter.rates(&snapshot);
                self.snapshot = Some(snapshot);
                self.problem = None;
            }
            Err(problem) => self.problem = Some(problem),
        }
    }

    /// A line of a part.
    pub(super) fn log(&mut self, part: &str, text: &str) {
        // The date of a log line is left out: `2026-11-21T09:58:10.999Z  INFO done`.
        let short = text.split_once("Z ").filter(|(stamp, _)| stamp.len() > 19 && stamp.is_ascii());
        let text = short.map_or(text.to_owned(), |(stamp, rest)| format!("{}{rest}", &stamp[11..19]));
        self.lines.push_back(printable(&format!("{part}: {text}")));
        if self.lines.len() > LINES {
            self.lines.pop_front();
        }
    }

    /// The state in one line.
    pub(super) fn status(&self) -> String {
        match (&self.problem, &self.snapshot) {
            (Some(problem), _) => format!("Redis does not answer: {}", printable(problem)),
            (None, Some(snapshot)) => snapshot.line(self.rates),
            (None, None) => "waiting for Redis".to_owned(),
        }
    }

    pub(super) fn draw(&self, frame: &mut Frame<'_>) {
        let members = self.members();
        let table = (members.len() as u16 + 3).min(frame.area().height / 2);
        let rows = [
            Constraint::Length(2),
            Constraint::Length(table),
            Constraint::Fill(1),
            Constraint::Fill(1),
            Constraint::Length(1),
        ];
        let [head, parts, messages, log, keys] = Layout::vertical(rows).areas(frame.area());

        let title = Line::from(format!("RedisFlow: {} / {}", self.stream, self.group)).bold();
        let status = Line::from(self.status());
        let status = if self.problem.is_some() { status.reversed() } else { status };
        frame.render_widget(Paragraph::new(vec![title, status]), head);
        frame.render_widget(self.table(members), parts);
        let lines = self.snapshot.iter().flat_map(Snapshot::lines);
        frame.render_widget(panel("Last messages, newest first", lines), messages);
        let newest = self.lines.len().saturating_sub(inside(log));
        frame.render_widget(panel("Log, newest last", self.lines.iter().skip(newest).cloned()), log);
        frame.render_widget(Line::from(self.keys()).reversed(), keys);
    }

    fn keys(&self) -> String {
        if self.stopping {
            return "stopping; Ctrl-C again ends all at once".to_owned();
        }
        let numbers = match self.parts.len() {
            0 => String::new(),
            count => format!("1-{} kill -9, or restart | ", count.min(9)),
        };
        format!("{numbers}b write 40 messages at once | q or Ctrl-C stop")
    }

    /// Key, name, state, pending and silence of every part and of every other member of the group.
    fn members(&self) -> Vec<[String; 5]> {
        let group = self.snapshot.as_ref().and_then(|snapshot| snapshot.group());
        let consumers = group.map(|group| group.consumers.as_slice()).unwrap_or_default();
        let held = |name: &str| match consumers.iter().find(|consumer| consumer.name == name) {
            Some(consumer) => [consumer.pending.to_string(), format!("{:.1} s", consumer.idle.as_secs_f64())],
            None => ["".to_owned(), "".to_owned()],
        };
        let parts = self.parts.iter().enumerate().map(|(number, part)| {
            let key = if number < 9 { (number + 1).to_string() } else { String::new() };
            let [pending, silent] = if part.is_consumer { held(&part.name) } else { Default::default() };
            [key, part.name.clone(), part.state.clone(), pending, silent]
        });
        let is_part = |name: &str| self.parts.iter().any(|part| part.is_consumer && part.name == name);
        let others = consumers.iter().filter(|consumer| !is_part(&consumer.name)).map(|consumer| {
            let [pending, silent] = held(&consumer.name);
            [String::new(), printable(&consumer.name), "member of the group".to_owned(), pending, silent]
        });
        parts.chain(others).collect()
    }

    fn table(&self, members: Vec<[String; 5]>) -> Table<'static> {
        let widths = [
            Constraint::Length(3),
            Constraint::Fill(2),
            Constraint::Fill(2),
            Constraint::Length(8),
            Constraint::Length(10),
        ];
        let head = ["Key", "Name", "State", "Pending", "Silent for"].map(|text| Cell::from(text).bold());
        let rows = members.into_iter().map(|member| {
            let holds = !matches!(member[3].as_str(), "" | "0");
            Row::new(member).style(if holds { Style::new().bold() } else { Style::new() })
        });
        Table::new(rows, widths).header(Row::new(head)).block(Block::bordered().title("Parts"))
    }
}

fn panel(title: &'static str, lines: impl Iterator<Item = String>) -> Paragraph<'static> {
    Paragraph::new(lines.map(Line::from).collect::<Vec<_>>()).block(Block::bordered().title(title))
}

/// The lines inside the border of a panel.
fn inside(panel: Rect) -> usize {
    usize::from(panel.height.saturating_sub(2))
}

#[cfg(test)]
mod tests;
