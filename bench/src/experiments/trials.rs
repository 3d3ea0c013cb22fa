//! Trials: what each has seen is kept as JSON, told as a table and judged by its bounds.

use std::fs;
use std::path::Path;

use anyhow::Context;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::outcome::Outcome;
use super::{chat, durability, events, load_generator, overload, streams};
use crate::name::Trial;
use crate::options::{Places, RunOptions};

/// Makes a trial and keeps what it has seen.
///
/// # Errors
/// A part does not start, ends by itself, or cannot be loaded.
pub async fn try_out(trial: Trial, options: &RunOptions) -> anyhow::Result<()> {
    let folder = &options.places.results;
    match trial {
        Trial::Overload => save(folder, trial, &overload::run(options).await?),
        Trial::Durability => save(folder, trial, &durability::run(options).await?),
        Trial::LoadGenerator => save(folder, trial, &load_generator::run(options).await?),
        Trial::Streams => save(folder, trial, &streams::run(options).await?),
        Trial::Chat => save(folder, trial, &chat::run(options).await?),
        Trial::Events => save(folder, trial, &events::run(options).await?),
    }
}

/// Judges what a trial has seen; `None` if it was not made.
///
/// # Errors
/// The file is not what was written.
pub fn judge(trial: Trial, places: &Places) -> anyhow::Result<Option<Outcome>> {
    let folder = &places.results;
    Ok(match trial {
        Trial::Overload => load(folder, trial)?.map(|seen: overload::Seen| overload::outcome(&seen)),
        Trial::Durability => {
            load(folder, trial)?.map(|seen: Vec<durability::Kept>| durability::outcome(&seen))
        }
        Trial::LoadGenerator => {
            load(folder, trial)?.map(|seen: load_generator::Seen| load_generator::outcome(&seen))
        }
        Trial::Streams => load(folder, trial)?.map(|seen: streams::Seen| streams::outcome(&seen)),
        Trial::Chat => load(folder, trial)?.map(|seen: chat::Seen| chat::outcome(&seen)),
        Trial::Events => load(folder, trial)?.map(|seen: events::Seen| events::outcome(&seen)),
    })
}

fn save(folder: &Path, trial: Trial, seen: &impl Serialize) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    let path = folder.join(format!("{}.json", trial.text()));
    fs::write(&path, serde_json::to_string_pretty(seen)?)
        .with_context(|| format!("{} cannot be written", path.display()))
}

fn load<T: DeserializeOwned>(folder: &Path, trial: Trial) -> anyhow::Result<Option<T>> {
    let path = folder.join(format!("{}.json", trial.text()));
    let Ok(json) = fs::read_to_string(&path) else { return Ok(None) };
    let seen = serde_json::from_str(&json);
    seen.map(Some).with_context(|| format!("{} is broken: remove it", path.display()))
}
