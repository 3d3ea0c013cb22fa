use std::sync::{Arc, Mutex};
use std::time::Duration;

use ingress::config::Settings;
use ingress::metrics::HttpMetrics;
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use service::config::from_args;
use service::http::ServerMetrics;
use streamgate::connection::ConnectionMetrics;
use streamgate::requester::{DestinationMetrics, RequesterMetrics};
use streamgate::telemetry::Tracer;
use streamgate::testing::RedisServer;

use crate::harness::{BERLIN, Ingress, Worker};

#[tokio::test]
async fn a_scrape_has_every_declared_metric_with_its_help() {
    let server = RedisServer::start();
    let _worker = Worker::start(&server).await;
    let ingress = Ingress::ready(&server, &[]).await;
    ingress.forecast(BERLIN).await;

    let scrape = ingress.get_admin("/metrics").await.text;

    let declared = declared();
    assert!(declared.len() >= 19, "{declared:?}");
    for name in declared {
        let help = format!("# HELP {name} ");
        assert!(scrape.lines().any(|line| line.starts_with(&help)), "no {help}in\n{scrape}");
        let sample = scrape.lines().any(|line| line.starts_with(&name) && !line.starts_with('#'));
        assert!(sample, "no value of {name} in\n{scrape}");
    }
    let bucket = r#"http_request_duration_seconds_bucket{route="/WeatherForecast/city",status="200",le=""#;
    assert!(scrape.contains(bucket), "{scrape}");
    assert!(scrape.contains("# TYPE http_request_duration_seconds histogram"), "{scrape}");
    assert!(
        scrape.contains(r#"http_requests_total{route="/WeatherForecast/city",status="200"} 1"#),
        "{scrape}"
    );
}

/// The names of all metrics that ingress declares.
fn declared() -> Vec<String> {
    let names = Arc::new(Names::default());
    let settings: Settings = from_args(["ingress"]).expect("the defaults are valid");
    let stream = settings.streams.request_stream.clone();
    let settings = settings.requester(Tracer::default(), Duration::ZERO);
    metrics::with_local_recorder(&names, || {
        let requests = (RequesterMetrics::declare(&settings), DestinationMetrics::declare(&stream));
        (ConnectionMetrics::declare(), requests, ServerMetrics::declare())
    });
    HttpMetrics::declare(Arc::clone(&names) as _);
    names.0.lock().expect("not poisoned").clone()
}

/// A recorder that only stores the names of the metrics.
#[derive(Default)]
struct Names(Mutex<Vec<String>>);

impl Names {
    fn note(&self, name: &KeyName) {
        self.0.lock().expect("not poisoned").push(name.as_str().to_owned());
    }
}

impl Recorder for Names {
    fn describe_counter(&self, name: KeyName, _: Option<Unit>, _: SharedString) {
        self.note(&name);
    }

    fn describe_gauge(&self, name: KeyName, _: Option<Unit>, _: SharedString) {
        self.note(&name);
    }

    fn describe_histogram(&self, name: KeyName, _: Option<Unit>, _: SharedString) {
        self.note(&name);
    }

    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        Counter::noop()
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}
