use crate::lab::Lab;
use crate::lab::gateway::{Gateway, Work};
use crate::lab::measure::Loading;
use crate::lab::rounds::Cell;
use crate::results::Series;

const CONNECTIONS: [u32; 2] = [1, 64];
/// The raw cycle's limit is reached with some hundred requests at once.
const BATCH: usize = 256;

/// Everything on one processor, wrk included: no wake-up crosses processors, and what is measured is
/// the CPU time of all together.
pub(super) async fn run(lab: &mut Lab) -> anyhow::Result<Vec<Series>> {
    lab.on_one_processor();
    let mut deployments = vec![
        lab.gateway(Gateway::default()).await?,
        lab.direct("direct", "same").await?,
        lab.nats("nats", "same", Work::Forecast).await?,
    ];
    deployments.extend(lab.baseline().await?);
    let mut cells = Vec::new();
    for connections in CONNECTIONS {
        for deployment in 0..deployments.len() {
            cells.push(Cell::forecasts(deployment, connections.to_string(), connections));
        }
        let (point, batch) = (connections.to_string(), if connections == 1 { 1 } else { BATCH });
        let target = Some("raw cycle".to_owned());
        // The gateway's own Redis: nothing else asks it anything then.
        cells.push(Cell { deployment: 0, target, point, loading: Loading::Cycle(batch) });
    }
    lab.rounds(&deployments, &cells).await
}
