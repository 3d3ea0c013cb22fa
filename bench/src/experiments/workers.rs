use crate::lab::Lab;
use crate::lab::gateway::Gateway;
use crate::lab::rounds::Cell;
use crate::results::Series;

const SLOTS: [u32; 5] = [1, 4, 16, 64, 256];
const WORKERS: [usize; 3] = [1, 2, 4];
const CONNECTIONS: u32 = 256;

/// One worker with more and more slots, and more and more workers with the default slots; work that
/// takes no time, so slots only decide how large batches may get.
pub(super) async fn run(lab: &Lab) -> anyhow::Result<Vec<Series>> {
    let (mut deployments, mut cells) = (Vec::new(), Vec::new());
    for slots in SLOTS {
        let proxy = vec![("WORKER_CONCURRENCY", slots.to_string())];
        cells.push(cell(deployments.len(), "slots of one worker", slots.to_string()));
        deployments.push(lab.gateway(Gateway { proxy, ..Gateway::default() }).await?);
    }
    for workers in WORKERS {
        cells.push(cell(deployments.len(), "workers of 256 slots", workers.to_string()));
        deployments.push(lab.gateway(Gateway { workers, ..Gateway::default() }).await?);
    }
    lab.rounds(&deployments, &cells).await
}

fn cell(deployment: usize, target: &str, point: String) -> Cell {
    Cell { target: Some(target.to_owned()), ..Cell::forecasts(deployment, point, CONNECTIONS) }
}
