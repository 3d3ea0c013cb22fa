use crate::lab::Lab;
use crate::lab::gateway::Gateway;
use crate::lab::rounds::Cell;
use crate::results::Series;

const REPLICAS: [usize; 4] = [1, 2, 4, 8];
const CONNECTIONS: u32 = 64;

/// The same connections over more and more ingress processes on one processor, each with a reply lane
/// of its own: what the batches lose by being shared out. A wrk loads each.
pub(super) async fn run(lab: &mut Lab) -> anyhow::Result<Vec<Series>> {
    lab.on_one_processor();
    let (mut deployments, mut cells) = (Vec::new(), Vec::new());
    for replicas in REPLICAS {
        cells.push(Cell {
            target: Some("gateway".to_owned()),
            ..Cell::forecasts(deployments.len(), replicas.to_string(), CONNECTIONS)
        });
        deployments.push(lab.gateway(Gateway { replicas, ..Gateway::default() }).await?);
    }
    lab.rounds(&deployments, &cells).await
}
