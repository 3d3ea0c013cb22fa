//! Worker processes that are given one WORKER_NAME.

use nix::sys::signal::Signal;
use streamgate::testing::{RedisServer, eventually_async};

use crate::harness::{Process, ask, client, everything_is_settled, ingress, metric, pending, proxy};

const SLOW: [(&str, &str); 1] = [("SIMULATED_LATENCY", "5s")];

/// How often the worker has begun and finished work.
async fn worked(worker: &Process) -> f64 {
    metric(worker, "streamgate_handler_duration_seconds_count").await
}

#[tokio::test]
async fn two_workers_of_one_name_do_no_work_twice() {
    let server = RedisServer::start();
    let first = proxy(&server, "same", &SLOW).await;
    let ingress = ingress(&server, &[]).await;
    let client = client();
    let cities: Vec<String> = (0..10).map(|n| format!("City {n}")).collect();

    let answers = futures_util::future::join_all(cities.iter().map(|city| ask(&client, &ingress, city)));
    let (answers, second) = tokio::join!(answers, async {
        eventually_async("the first holds them", async || pending(&server) == 10).await;
        // More starts than an entry may have deliveries.
        for _ in 0..6 {
            let mut restarted = proxy(&server, "same", &SLOW).await;
            restarted.signal(Signal::SIGTERM);
            restarted.exit();
        }
        proxy(&server, "same", &SLOW).await
    });
    everything_is_settled(&server).await;

    for (status, body) in answers {
        assert_eq!(status, 200, "{body}");
    }
    assert_eq!((worked(&first).await, worked(&second).await), (10.0, 0.0));
    assert_eq!(metric(&first, "streamgate_dead_letters_total").await, 0.0);
    assert!(second.log().contains("a worker of this name is alive"), "{}", second.log());
}
