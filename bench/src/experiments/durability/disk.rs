//! A neighbour who writes a lot to the same disk and has it synced, all the time.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

const BLOCK: usize = 8 << 20;
const BLOCKS: usize = 32;

/// Goes on until this is dropped.
pub(super) struct Neighbour {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// Keeps the disk of `folder` busy.
///
/// # Errors
/// The file cannot be made.
pub(super) fn keep_busy(folder: &Path) -> anyhow::Result<Neighbour> {
    let mut block = vec![0; BLOCK];
    File::open("/dev/urandom")?.read_exact(&mut block)?;
    let mut file = File::create(folder.join("ballast"))?;
    let over = Arc::new(AtomicBool::new(false));
    let stop = Arc::clone(&over);
    let thread = std::thread::spawn(move || {
        while !stop.load(Ordering::Relaxed) {
            if let Err(error) = rewrite(&mut file, &block) {
                eprintln!("the disk is not kept busy any more: {error}");
                return;
            }
        }
    });
    Ok(Neighbour { over, thread: Some(thread) })
}

/// New blocks each time: a journal that syncs the append-only file must write these first.
fn rewrite(file: &mut File, block: &[u8]) -> std::io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    for _ in 0..BLOCKS {
        file.write_all(block)?;
    }
    file.sync_all()
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
