use crate::lab::Lab;
use crate::lab::gateway::{Gateway, Work};
use crate::lab::measure::Loading;
use crate::lab::rounds::Cell;
use crate::lab::wrk::Load;
use crate::results::Series;

/// Name and bytes. The largest is below the 64 KiB that ingress takes by default.
const SIZES: [(&str, usize); 3] = [("0.2 KB", 200), ("4 KB", 4_000), ("60 KB", 60_000)];
const CONNECTIONS: u32 = 64;

/// Bodies that come back as they went. A request for a forecast has no room for a large body and its
/// answer is small, so both sides echo: the product's engine in both its processes, and NATS.
pub(super) async fn run(lab: &Lab) -> anyhow::Result<Vec<Series>> {
    let gateway = Gateway { work: Work::Echo, ..Gateway::default() };
    let deployments = [lab.gateway(gateway).await?, lab.nats("nats", "same", Work::Echo).await?];
    let mut cells = Vec::new();
    for (point, size) in SIZES {
        for deployment in 0..deployments.len() {
            let loading = Loading::Wrk(Load { connections: CONNECTIONS, body: body(size) });
            cells.push(Cell { deployment, target: None, point: point.to_owned(), loading });
        }
    }
    lab.rounds(&deployments, &cells).await
}

/// A JSON text of `size` bytes.
fn body(size: usize) -> String {
    let frame = r#"{"text":""}"#;
    format!(r#"{{"text":"{}"}}"#, "x".repeat(size.saturating_sub(frame.len())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_json_of_its_size() {
        for (_, size) in SIZES {
            let body = body(size);

            assert_eq!(body.len(), size);
            assert!(serde_json::from_str::<serde_json::Value>(&body).is_ok());
        }
    }
}
