//! A bounded queue of log lines, and the thread that writes them to standard error.
//!
//! A pipe that is not read blocks its writer for ever. Here it can block only the thread of the queue.
//! The other threads put their lines into the queue. If the queue is full, the line is dropped and
//! counted.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The most bytes in the queue: about 5,000 lines. A burst of lines fits, and a log that is not read
/// costs little memory.
const CAPACITY: usize = 1 << 20;

/// The queue in front of standard error.
pub(super) static STDERR: LogQueue = LogQueue::new();

/// Lines that wait to be written.
#[derive(Debug)]
pub(super) struct LogQueue {
    waiting: Mutex<Waiting>,
    filled: Condvar,
    emptied: Condvar,
    dropped: AtomicU64,
}

#[derive(Debug)]
struct Waiting {
    lines: VecDeque<Vec<u8>>,
    /// The size of the lines and of the line that is being written.
    bytes: usize,
    /// Whether the thread that writes the lines has started.
    has_writer: bool,
}

impl LogQueue {
    pub(super) const fn new() -> Self {
        let waiting = Waiting { lines: VecDeque::new(), bytes: 0, has_writer: false };
        Self {
            waiting: Mutex::new(waiting),
            filled: Condvar::new(),
            emptied: Condvar::new(),
            dropped: AtomicU64::new(0),
        }
    }

    /// Starts the thread that writes to `out`, unless it runs already. When lines were dropped and `out`
    /// accepts lines again, the thread calls `report` with the number of dropped lines.
    pub(super) fn start(&'static self, out: impl Write + Send + 'static, report: fn(u64)) -> io::Result<()> {
        let mut waiting = self.lock();
        if !waiting.has_writer {
            std::thread::Builder::new().name("log".to_owned()).spawn(move || self.write_to(out, report))?;
            waiting.has_writer = true;
        }
        Ok(())
    }

    /// Adds a line. If the queue is full, drops and counts the line.
    pub(super) fn push(&self, line: &[u8]) {
        let mut waiting = self.lock();
        if waiting.bytes + line.len() > CAPACITY {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        waiting.bytes += line.len();
        waiting.lines.push_back(line.to_vec());
        drop(waiting);
        self.filled.notify_one();
    }

    /// Returns once every line is written, or after `limit`.
    pub(super) fn flush(&self, limit: Duration) {
        let all = self.emptied.wait_timeout_while(self.lock(), limit, |waiting| waiting.bytes > 0);
        drop(all);
    }

    /// How many lines were dropped since the start, because the queue was full or a write failed.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    fn write_to(&self, mut out: impl Write, report: fn(u64)) {
        let mut reported = 0;
        loop {
            let line = self.next();
            let is_written = out.write_all(&line).is_ok();
            if !is_written {
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
            let is_empty = self.finish(line.len());
            let dropped = self.dropped();
            // The queue is empty, so the report itself has room.
            if is_written && is_empty && dropped > reported {
                report(dropped - reported);
                reported = dropped;
            }
        }
    }

    fn next(&self) -> Vec<u8> {
        let mut waiting = self.lock();
        loop {
            if let Some(line) = waiting.lines.pop_front() {
                return line;
            }
            waiting = self.filled.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Notes that a line of this many bytes is written or lost. Returns true if the queue is now empty.
    fn finish(&self, bytes: usize) -> bool {
        let mut waiting = self.lock();
        waiting.bytes -= bytes;
        let is_empty = waiting.lines.is_empty();
        drop(waiting);
        if is_empty {
            self.emptied.notify_all();
        }
        is_empty
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The target of the log formatter, which writes a whole line at once.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line;

impl Write for Line {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        STDERR.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{PipeReader, Read, pipe};
    use std::time::Instant;

    use super::*;

    /// Longer than any of these tests takes.
    const LONG: Duration = Duration::from_secs(30);

    fn queue(out: impl Write + Send + 'static, report: fn(u64)) -> &'static LogQueue {
        let queue: &'static LogQueue = Box::leak(Box::new(LogQueue::new()));
        queue.start(out, report).expect("a thread");
        queue
    }

    /// A full queue whose thread writes to a full pipe, and the end of the pipe that is not read.
    fn full(report: fn(u64)) -> (&'static LogQueue, PipeReader) {
        let (reader, writer) = pipe().expect("a pipe");
        let queue = queue(writer, report);
        let line = [b'x'; 1_023].iter().chain(b"\n").copied().collect::<Vec<_>>();
        while queue.dropped() < 100 {
            queue.push(&line);
        }
        (queue, reader)
    }

    #[test]
    fn lines_are_written_in_order_and_flush_waits_for_them() {
        let (mut reader, writer) = pipe().expect("a pipe");
        let queue = queue(writer, |_| ());

        (0..100).for_each(|n| queue.push(format!("line {n}\n").as_bytes()));
        queue.flush(LONG);

        let expected: String = (0..100).map(|n| format!("line {n}\n")).collect();
        let mut text = vec![0; expected.len()];
        reader.read_exact(&mut text).expect("written");
        assert_eq!(String::from_utf8(text).expect("text"), expected);
        assert_eq!(queue.dropped(), 0);
    }

    #[test]
    fn an_unread_pipe_blocks_neither_push_nor_flush() {
        let (queue, _reader) = full(|_| ());
        let before = (queue.dropped(), Instant::now());

        queue.push(b"one more\n");
        queue.push(&vec![b'x'; CAPACITY]);
        queue.flush(Duration::from_millis(20));

        assert!(queue.dropped() > before.0, "the large line does not fit");
        assert!(before.1.elapsed() < LONG);
    }

    #[test]
    fn dropped_lines_are_reported_once_the_pipe_is_read_again() {
        static REPORTED: AtomicU64 = AtomicU64::new(0);
        let (queue, mut reader) = full(|lines| {
            REPORTED.fetch_add(lines, Ordering::Relaxed);
        });
        assert_eq!(REPORTED.load(Ordering::Relaxed), 0);

        std::thread::spawn(move || std::io::copy(&mut reader, &mut std::io::sink()));
        let deadline = Instant::now() + LONG;
        while REPORTED.load(Ordering::Relaxed) == 0 && Instant::now() < deadline {
            std::thread::yield_now();
        }

        assert_eq!(REPORTED.load(Ordering::Relaxed), queue.dropped());
    }

    #[test]
    fn lines_to_a_closed_pipe_are_dropped_without_a_report() {
        static REPORTED: AtomicU64 = AtomicU64::new(0);
        let (reader, writer) = pipe().expect("a pipe");
        drop(reader);
        let queue = queue(writer, |lines| {
            REPORTED.fetch_add(lines, Ordering::Relaxed);
        });

        (0..10).for_each(|_| queue.push(b"line\n"));
        queue.flush(LONG);

        assert_eq!((queue.dropped(), REPORTED.load(Ordering::Relaxed)), (10, 0));
    }
}
