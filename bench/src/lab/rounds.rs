//! Rounds: every target at every point, again and again, so that what slows the machine meets all.

use super::Lab;
use super::deployment::{Deployment, QUESTION};
use super::measure::Loading;
use super::wrk::Load;
use crate::results::Series;

/// One target at one point.
#[derive(Debug, Clone)]
pub struct Cell {
    /// Which of the deployments.
    pub deployment: usize,
    /// Its name in results, if not the deployment's.
    pub target: Option<String>,
    /// What is varied.
    pub point: String,
    /// How it is loaded.
    pub loading: Loading,
}

impl Cell {
    /// The usual question over so many connections.
    pub fn forecasts(deployment: usize, point: impl Into<String>, connections: u32) -> Self {
        let loading = Loading::Wrk(Load { connections, body: QUESTION.to_owned() });
        Self { deployment, target: None, point: point.into(), loading }
    }
}

/// How long each deployment is loaded before anything counts.
const WARM_UP: u32 = 1;

impl Lab {
    /// Measures `cells` in as many rounds as asked for: there and back again, so that no target is
    /// always the one after the same other.
    ///
    /// # Errors
    /// A measurement fails.
    pub async fn rounds(&self, deployments: &[Deployment], cells: &[Cell]) -> anyhow::Result<Vec<Series>> {
        self.warm_up(deployments, cells).await?;
        let mut series: Vec<Series> = cells
            .iter()
            .map(|cell| {
                let target = cell.target.clone();
                let target = target.unwrap_or_else(|| deployments[cell.deployment].name.clone());
                Series { target, point: cell.point.clone(), samples: Vec::new() }
            })
            .collect();
        let rounds = self.options.rounds;
        for round in 0..rounds {
            let forth = 0..cells.len();
            let order: Vec<usize> = if round % 2 == 0 { forth.collect() } else { forth.rev().collect() };
            for index in order {
                let (cell, series) = (&cells[index], &mut series[index]);
                let target = &deployments[cell.deployment];
                let sample = self.measure(target, deployments, &cell.loading).await?;
                println!(
                    "  {}/{rounds}  {:>8}  {:<18} {:>8.0}/s   p50 {:>7.0}   p99 {:>7.0}   p99.9 {:>7.0} µs   {} errors   others {:.2}",
                    round + 1,
                    series.point,
                    series.target,
                    sample.per_second,
                    sample.p50_us,
                    sample.p99_us,
                    sample.p999_us,
                    sample.errors,
                    sample.others,
                );
                series.samples.push(sample);
            }
        }
        Ok(series)
    }

    async fn warm_up(&self, deployments: &[Deployment], cells: &[Cell]) -> anyhow::Result<()> {
        for (number, deployment) in deployments.iter().enumerate() {
            if let Some(cell) = cells.iter().rfind(|cell| cell.deployment == number) {
                self.load(deployment, &cell.loading, WARM_UP).await?;
            }
        }
        Ok(())
    }
}
