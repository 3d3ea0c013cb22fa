use std::io::{self, Read};

use ratatui::DefaultTerminal;
use tokio::sync::mpsc;

use super::News;
use super::stop::Stop;
use super::view::Scene;

/// The terminal as a view. It is as it was before when this is dropped, and when a thread panics.
pub(super) struct Screen(DefaultTerminal);

/// Ctrl-C, which is a key like others while the view is shown.
const CTRL_C: u8 = 3;
const ESCAPE: u8 = 27;

impl Screen {
    /// Takes the terminal. Keys become `tell` or `stop`.
    pub(super) fn open(stop: Stop, tell: mpsc::Sender<News>) -> io::Result<Self> {
        let screen = Self(ratatui::try_init()?);
        // It waits for a key until the process ends.
        std::thread::Builder::new().name("keys".to_owned()).spawn(move || read_keys(&stop, &tell))?;
        Ok(screen)
    }

    pub(super) fn draw(&mut self, scene: &Scene) -> io::Result<()> {
        self.0.draw(|frame| scene.draw(frame)).map(drop)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

/// Reads keys. If the terminal has gone, or this panics, the demo stops.
fn read_keys(stop: &Stop, tell: &mpsc::Sender<News>) {
    let _stops = stop.guard();
    let mut bytes = [0; 64];
    while let Ok(count @ 1..) = io::stdin().lock().read(&mut bytes) {
        // The sequence of an arrow or a function key has letters and digits that are no keys.
        let keys = if bytes[0] == ESCAPE { &[] } else { &bytes[..count] };
        for key in keys {
            let news = match key {
                b'1'..=b'9' => News::Toggle(usize::from(key - b'1')),
                b'b' => News::Burst,
                b'q' => return,
                &CTRL_C => {
                    stop.interrupt();
                    continue;
                }
                _ => continue,
            };
            if tell.blocking_send(news).is_err() {
                return;
            }
        }
    }
}
