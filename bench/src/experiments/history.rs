use anyhow::Context;

use crate::lab::Lab;
use crate::lab::gateway::Gateway;
use crate::lab::rounds::Cell;
use crate::results::Series;

const HISTORIES: [usize; 3] = [0, 100_000, 1_000_000];
const CONNECTIONS: u32 = 64;
/// What is kept of the measurement itself, so that streams do not grow from round to round.
const KEPT: usize = 10_000;

/// The same load on streams that hold many finished requests already. They stay: retention is set to
/// keep them, and trimming takes only what the measurement adds.
pub(super) async fn run(lab: &Lab) -> anyhow::Result<Vec<Series>> {
    let (mut deployments, mut cells) = (Vec::new(), Vec::new());
    for history in HISTORIES {
        cells.push(Cell {
            target: Some("gateway".to_owned()),
            ..Cell::forecasts(deployments.len(), history.to_string(), CONNECTIONS)
        });
        let proxy = vec![
            ("RETENTION_ENTRIES", (history + KEPT).to_string()),
            ("RETENTION_AGE", "24h".to_owned()),
            ("RETENTION_BYTES", "100000000000".to_owned()),
            ("HOUSEKEEPING_PERIOD", "1s".to_owned()),
        ];
        let deployment = lab.gateway(Gateway { history, proxy, ..Gateway::default() }).await?;
        deployments.push(deployment);
    }
    let series = lab.rounds(&deployments, &cells).await?;
    for (deployment, history) in deployments.iter().zip(HISTORIES) {
        let held = deployment.redis.context("a gateway has a Redis")?.held().await?;
        // Trimming is by whole blocks of entries, and retention is kept about.
        anyhow::ensure!(
            held >= history - history / 20,
            "only {held} of {history} entries are left: was retention cut?"
        );
    }
    Ok(series)
}
