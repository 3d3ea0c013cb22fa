use crate::lab::Lab;
use crate::lab::gateway::{Gateway, Work};
use crate::lab::rounds::Cell;
use crate::results::Series;

const CONNECTIONS: [u32; 4] = [1, 16, 64, 256];

/// The gateway, the direct handler and NATS with the same front; and the handler with a bare front,
/// to show what the front costs.
pub(super) async fn run(lab: &Lab) -> anyhow::Result<Vec<Series>> {
    let mut deployments = vec![
        lab.gateway(Gateway::default()).await?,
        lab.direct("direct", "same").await?,
        lab.nats("nats", "same", Work::Forecast).await?,
        lab.direct("direct, bare front", "bare").await?,
        lab.nats("nats, bare front", "bare", Work::Forecast).await?,
    ];
    deployments.extend(lab.baseline().await?);
    let mut cells = Vec::new();
    for connections in CONNECTIONS {
        for deployment in 0..deployments.len() {
            cells.push(Cell::forecasts(deployment, connections.to_string(), connections));
        }
    }
    lab.rounds(&deployments, &cells).await
}
