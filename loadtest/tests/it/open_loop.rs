use std::sync::Arc;
use std::time::{Duration, Instant};

use loadtest::corpus::Corpus;
use loadtest::{Caller, FailureKind};
use tokio::sync::{Barrier, watch};

use crate::gateway::{Gateway, forecast};

#[tokio::test]
async fn requests_leave_although_earlier_ones_have_no_answer() {
    // The gateway answers once all twenty requests wait at the same time.
    let all = Arc::new(Barrier::new(20));
    let gateway = Gateway::start(move |_, body| {
        let all = all.clone();
        async move {
            all.wait().await;
            forecast(&body)
        }
    })
    .await;
    let args = ["--mode", "rate", "--rate", "400", "--count", "20", "--concurrency", "1", "--timeout", "20s"];

    let report = loadtest::run(&gateway.options(&args)).await.expect("up");

    assert_eq!((report.requests, report.succeeded, report.concurrency), (20, 20, None));
}

#[tokio::test]
async fn requests_leave_on_schedule() {
    let gateway = Gateway::start(|_, body| async move { forecast(&body) }).await;
    let args = ["--mode", "rate", "--rate", "100", "--duration", "500ms"];

    let report = loadtest::run(&gateway.options(&args)).await.expect("up");

    assert_eq!((report.requests, report.succeeded), (50, 50));
    assert!(report.elapsed_seconds >= 0.49, "the last one leaves after 49 intervals: {report}");
    let pace = report.pace.expect("rate mode");
    assert!(pace.sent_per_second <= 101.0, "{pace:?}");
}

#[tokio::test]
async fn a_stall_raises_the_latency_of_every_request_in_it() {
    // The gateway answers no request until half a second after the first request.
    let (open, gate) = watch::channel(false);
    let open = Arc::new(open);
    let gateway = Gateway::start(move |number, body| {
        let (open, mut gate) = (open.clone(), gate.clone());
        async move {
            if number == 0 {
                tokio::time::sleep(Duration::from_millis(500)).await;
                open.send_replace(true);
            }
            gate.wait_for(|open| *open).await.expect("it opens");
            forecast(&body)
        }
    })
    .await;
    let args = ["--mode", "rate", "--rate", "100", "--count", "30", "--timeout", "20s"];

    let report = loadtest::run(&gateway.options(&args)).await.expect("up");

    assert_eq!(report.succeeded, 30);
    // Half of the requests were scheduled within 150 ms.
    let latency = report.latency_ms.expect("answers");
    assert!(latency.p50 >= 340.0, "a closed loop would show one slow answer: {latency:?}");
}

#[tokio::test]
async fn latency_counts_from_the_scheduled_time() {
    let gateway = Gateway::start(|_, body| async move { forecast(&body) }).await;
    loadtest::install_tls();
    let url = gateway.url().parse().expect("a URL");
    let caller = Caller::new(reqwest::Client::new(), &url, Duration::from_secs(20));
    let late = Duration::from_secs(3);
    let intended = Instant::now().checked_sub(late).expect("the machine is up for longer");

    let outcome = caller.call(Corpus::default().body(0), intended).await;

    assert_eq!(outcome.result, Ok(()));
    assert!(outcome.start_delay >= late && outcome.latency >= outcome.start_delay, "{outcome:?}");
}

#[tokio::test]
async fn the_last_failure_has_the_scheduled_time_of_its_request() {
    let gateway = Gateway::start(|number, body| async move {
        if number < 5 {
            std::future::pending::<()>().await;
        }
        forecast(&body)
    })
    .await;
    let args = ["--mode", "rate", "--rate", "10", "--count", "12", "--timeout", "2s"];

    let report = loadtest::run(&gateway.options(&args)).await.expect("up");

    assert_eq!(report.count_of(FailureKind::Timeout), 5);
    let last = report.last_failure_seconds.expect("some failed");
    // The scheduled time of the fifth request, not the time at which the caller gave it up. On a slow
    // machine, a later request may arrive before the fifth.
    assert!((0.39..=1.11).contains(&last), "{last}");
}
