use crate::lab::Lab;
use crate::lab::gateway::Gateway;
use crate::lab::rounds::Cell;
use crate::results::Series;

const CONNECTIONS: u32 = 64;

/// What it costs that Redis writes everything to its append-only file and syncs it every second.
pub(super) async fn run(lab: &Lab) -> anyhow::Result<Vec<Series>> {
    let everysec = vec!["--appendonly", "yes", "--appendfsync", "everysec"];
    let deployments = [
        lab.gateway(Gateway::default()).await?,
        lab.gateway(Gateway { redis: everysec, ..Gateway::default() }).await?,
    ];
    let cells: Vec<Cell> = [(0, "off"), (1, "everysec")]
        .map(|(deployment, point)| Cell::forecasts(deployment, point, CONNECTIONS))
        .into();
    lab.rounds(&deployments, &cells).await
}
