//! The way of a log line to standard error: a bounded queue and a thread of its own.
//!
//! A pipe that nobody reads blocks its writer for ever. Only the thread of the queue can be blocked so:
//! whoever logs puts a line into the queue, and a line for which the queue has no room is dropped and
//! counted.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Bytes of lines that wait for the thread: some 5,000 lines, so that a burst fits while a log that
/// nobody reads costs little memory.
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
    /// Of the lines, and of the one that is being written.
    bytes: usize,
    /// Whether a thread writes the lines.
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

    /// Starts the thread that writes to `out`, unless there is one. When `out` takes lines again after
    /// some were dropped, the thread calls `tell` with their number.
    pub(super) fn start(&'static self, out: impl Write + Send + 'static, tell: fn(u64)) -> io::Result<()> {
        let mut waiting = self.lock();
        if !waiting.has_writer {
            std::thread::Builder::new().name("log".to_owned()).spawn(move || self.write_to(out, tell))?;
            waiting.has_writer = true;
        }
        Ok(())
    }

    /// Adds a line, or drops and counts it.
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

    /// How many lines were dropped since the start: no room in the queue, or an error of the writer.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    fn write_to(&self, mut out: impl Write, tell: fn(u64)) {
        let mut told = 0;
        loop {
            let line = self.next();
            let is_written = out.write_all(&line).is_ok();
            if !is_written {
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
            let is_empty = self.over(line.len());
            let dropped = self.dropped();
            // The queue is empty, so the line that tells it has room.
            if is_written && is_empty && dropped > told {
                tell(dropped - told);
                told = dropped;
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

    /// A line of so many bytes is dealt with; true if it was the last one.
    fn over(&self, bytes: usize) -> bool {
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

/// What the log formatter writes into; it is given a whole line at once.
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

    fn queue(out: impl Write + Send + 'static, tell: fn(u64)) -> &'static LogQueue {
        let queue: &'static LogQueue = Box::leak(Box::new(LogQueue::new()));
        queue.start(out, tell).expect("a thread");
        queue
    }

    /// A queue before a pipe that nobody reads, both full.
    fn full(tell: fn(u64)) -> (&'static LogQueue, PipeReader) {
        let (reader, writer) = pipe().expect("a pipe");
        let queue = queue(writer, tell);
        let line = [b'x'; 1_023].iter().chain(b"\n").copied().collect::<Vec<_>>();
        while queue.dropped() < 100 {
            queue.push(&line);
        }
        (queue, reader)
    }

    #[test]
    fn lines_come_out_in_their_order_and_flush_waits_for_them() {
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
    fn a_pipe_that_nobody_reads_blocks_neither_push_nor_flush() {
        let (queue, _reader) = full(|_| ());
        let before = (queue.dropped(), Instant::now());

        queue.push(b"one more\n");
        queue.push(&vec![b'x'; CAPACITY]);
        queue.flush(Duration::from_millis(20));

        assert!(queue.dropped() > before.0, "the last one has no room");
        assert!(before.1.elapsed() < LONG);
    }

    #[test]
    fn what_was_dropped_is_told_when_the_pipe_is_read_again() {
        static TOLD: AtomicU64 = AtomicU64::new(0);
        let (queue, mut reader) = full(|lines| {
            TOLD.fetch_add(lines, Ordering::Relaxed);
        });
        assert_eq!(TOLD.load(Ordering::Relaxed), 0);

        std::thread::spawn(move || std::io::copy(&mut reader, &mut std::io::sink()));
        let deadline = Instant::now() + LONG;
        while TOLD.load(Ordering::Relaxed) == 0 && Instant::now() < deadline {
            std::thread::yield_now();
        }

        assert_eq!(TOLD.load(Ordering::Relaxed), queue.dropped());
    }

    #[test]
    fn a_closed_pipe_costs_the_lines_and_is_not_told() {
        static TOLD: AtomicU64 = AtomicU64::new(0);
        let (reader, writer) = pipe().expect("a pipe");
        drop(reader);
        let queue = queue(writer, |lines| {
            TOLD.fetch_add(lines, Ordering::Relaxed);
        });

        (0..10).for_each(|_| queue.push(b"line\n"));
        queue.flush(LONG);

        assert_eq!((queue.dropped(), TOLD.load(Ordering::Relaxed)), (10, 0));
    }
}
