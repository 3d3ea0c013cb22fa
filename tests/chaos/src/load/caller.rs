use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use reqwest::{Client, Response};
use serde_json::Value;
use tokio::time::Instant;

use super::PlannedCall;
use crate::cluster::Cluster;
use crate::history::{Answer, Call, Micros, Outcome, Recorder, Wish, now};
use crate::setup::REQUEST_TIMEOUT;

/// Calls gateways and records what came of it. Clones share everything.
#[derive(Clone)]
pub struct Caller {
    client: Client,
    recorder: Recorder,
    probes: Arc<AtomicU64>,
}

/// A call that takes this long is cut off here; it has broken its promise long before.
const PATIENCE: Duration = Duration::from_secs(4).saturating_add(REQUEST_TIMEOUT);

/// How a probe ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probe {
    /// With a forecast.
    Well,
    /// With anything else.
    Unwell,
}

impl Caller {
    /// A caller that writes into `recorder`.
    ///
    /// # Errors
    /// The client cannot be made.
    pub fn new(recorder: Recorder) -> reqwest::Result<Self> {
        // An error means that one is installed already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder().no_proxy().build()?;
        Ok(Self { client, recorder, probes: Arc::default() })
    }

    /// Makes one call, now.
    pub async fn call(&self, cluster: &Cluster, planned: PlannedCall) {
        self.make(cluster, planned).await;
    }

    /// Asks one gateway for a forecast.
    pub async fn probe(&self, cluster: &Cluster, gateway: usize) -> Probe {
        let number = self.probes.fetch_add(1, Ordering::Relaxed);
        let (city, location) = (format!("Probe {number}"), format!("Probe quarter {number}"));
        let planned = PlannedCall::good(Duration::ZERO, Wish::Probe, city, location, gateway);
        match self.make(cluster, planned).await {
            Some(200) => Probe::Well,
            _ => Probe::Unwell,
        }
    }

    async fn make(&self, cluster: &Cluster, planned: PlannedCall) -> Option<u16> {
        let gateways = cluster.gateways();
        let place = gateways[planned.gateway % gateways.len()];
        let intended = now();
        // While the gateway is being replaced no call is made, as behind a load balancer.
        let (process, api) = place.current().and_then(|it| Some((it.process, it.addresses().api?)))?;
        let started = now();
        let patience = planned.leaves_after.unwrap_or(PATIENCE);
        let asked = tokio::time::timeout_at(Instant::now() + patience, self.ask(&api, &planned)).await;
        let outcome = match asked {
            Ok(Ok(answer)) => Outcome::Answered(answer),
            Ok(Err(error)) => Outcome::Broken(chain(&error)),
            Err(_elapsed) => Outcome::Left,
        };
        let status = match &outcome {
            Outcome::Answered(answer) => Some(answer.status),
            _ => None,
        };
        self.record(planned, process, intended, started, outcome);
        status
    }

    fn record(&self, call: PlannedCall, process: usize, intended: Micros, started: Micros, outcome: Outcome) {
        let PlannedCall { wish, city, location, .. } = call;
        let call = Call { wish, city, location, process, intended, started, ended: now(), outcome };
        self.recorder.with(|history| history.calls.push(call));
    }

    async fn ask(&self, api: &str, planned: &PlannedCall) -> reqwest::Result<Answer> {
        let request = self
            .client
            .post(format!("http://{api}/WeatherForecast/city"))
            .header("content-type", planned.body.media_type)
            .body(planned.body.text.clone());
        read(request.send().await?).await
    }
}

async fn read(answer: Response) -> reqwest::Result<Answer> {
    let status = answer.status().as_u16();
    let id = answer.headers().get("x-request-id").and_then(|id| id.to_str().ok()).unwrap_or_default();
    let id = id.to_owned();
    let body: Value = serde_json::from_slice(&answer.bytes().await?).unwrap_or_default();
    let member = |name: &str| body[name].as_str().map(str::to_owned);
    Ok(Answer {
        status,
        id,
        body_id: member("requestId"),
        city: member("city"),
        location: member("location"),
        detail: member("detail"),
    })
}

/// An error with its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
