//! Is the machine itself on time? On one that is too busy the harness measures itself.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::history::{Micros, Recorder, now};

/// How often it is asked.
const BEAT: Duration = Duration::from_millis(20);

/// A beat that is later than this was held up.
const LATE: Micros = 100_000;

/// Records every time when this process did not run although it wanted to, until `stop`.
pub fn watch(recorder: Recorder, stop: CancellationToken) {
    let mut last = now();
    while !stop.is_cancelled() {
        std::thread::sleep(BEAT);
        let time = now();
        if time.saturating_sub(last) > LATE + BEAT.as_micros() as u64 {
            recorder.with(|history| history.stalls.push((last, time)));
        }
        last = time;
    }
}
