use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::service::Service;
use tokio::time::Instant;

/// Counts the requests under way on one connection, and stores when that number last changed.
///
/// hyper limits the wait for the next request with HTTP/1.1, but not with HTTP/2. There, a peer that
/// answers pings could keep a connection for ever without sending a request.
#[derive(Clone)]
pub(super) struct Activity(Arc<Mutex<State>>);

struct State {
    under_way: usize,
    /// When a request last began or ended.
    changed: Instant,
}

impl Activity {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(State { under_way: 0, changed: Instant::now() })))
    }

    /// Returns once no request has been under way for `longest`.
    pub(super) async fn idle_for(&self, longest: Duration) {
        loop {
            let (under_way, changed) = {
                let state = self.state();
                (state.under_way, state.changed)
            };
            let now = Instant::now();
            match under_way {
                0 if now >= changed + longest => return,
                0 => tokio::time::sleep_until(changed + longest).await,
                // The wait starts again when the request ends, so no earlier check is needed.
                _ => tokio::time::sleep(longest).await,
            }
        }
    }

    fn count(&self, change: impl FnOnce(usize) -> usize) {
        let mut state = self.state();
        state.under_way = change(state.under_way);
        state.changed = Instant::now();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request under way, from its head to its answer.
struct UnderWay(Activity);

impl UnderWay {
    fn begin(activity: &Activity) -> Self {
        activity.count(|under_way| under_way + 1);
        Self(activity.clone())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.count(|under_way| under_way - 1);
    }
}

/// A service whose requests are counted in an [`Activity`].
pub(super) struct Counted<S> {
    service: S,
    activity: Activity,
}

impl<S> Counted<S> {
    pub(super) fn new(service: S, activity: Activity) -> Self {
        Self { service, activity }
    }
}

impl<S, R> Service<R> for Counted<S>
where
    S: Service<R>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn call(&self, request: R) -> Self::Future {
        let under_way = UnderWay::begin(&self.activity);
        let answer = self.service.call(request);
        Box::pin(async move {
            let _under_way = under_way;
            answer.await
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: Duration = Duration::from_secs(10);
    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_idle_only_while_no_request_is_under_way() {
        let (activity, started) = (Activity::new(), Instant::now());
        let under_way = UnderWay::begin(&activity);
        tokio::spawn(async move {
            tokio::time::sleep(LONGEST * 3 + SECOND).await;
            drop(under_way);
        });

        activity.idle_for(LONGEST).await;

        assert_eq!(started.elapsed().as_secs(), (LONGEST * 4 + SECOND).as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_without_any_request_is_idle() {
        let (activity, started) = (Activity::new(), Instant::now());

        activity.idle_for(LONGEST).await;

        assert_eq!(started.elapsed().as_secs(), LONGEST.as_secs());
    }
}
