use std::sync::Arc;

use metrics::{Recorder, describe_gauge, gauge};
use routes::Watch;
use routes::watch::PERIOD;
use streamgate::telemetry::declare_counter;
use tokio::signal::unix::{SignalKind, signal};

const VERSION: &str = "routes_version";

/// Keeps the routes in force those of the file: looks at it once a second, and at SIGHUP at once. Counts for ever.
pub async fn follow(watch: Arc<Watch>, recorder: Arc<dyn Recorder + Send + Sync>) {
    let failures = metrics::with_local_recorder(&recorder, || {
        describe_gauge!(VERSION, "1 for the version of the routes in force (a hash of the file), else 0");
        declare_counter(
            "routes_reload_failures_total",
            "Looks at ROUTES_FILE, one per second, that found a fault; the routes before stay in force",
        )
    });
    let set = |version: &str, value: f64| {
        metrics::with_local_recorder(&recorder, || {
            gauge!(VERSION, "version" => version.to_owned()).set(value);
        });
    };
    let mut routes = watch.subscribe();
    let mut version = routes.borrow_and_update().version.clone();
    set(&version, 1.0);
    let looking = tokio::spawn(Arc::clone(&watch).run());
    let mut hangup = signal(SignalKind::hangup()).ok();
    let mut ticks = tokio::time::interval(PERIOD);
    while !looking.is_finished() {
        let hung_up = async {
            match &mut hangup {
                Some(hangup) => drop(hangup.recv().await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = ticks.tick() => failures.absolute(watch.failures()),
            () = hung_up => {
                let watch = Arc::clone(&watch);
                let _ = tokio::task::spawn_blocking(move || watch.reload()).await;
            }
            Ok(()) = routes.changed() => {
                set(&version, 0.0);
                version = routes.borrow_and_update().version.clone();
                set(&version, 1.0);
            }
        }
    }
}
