use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::service::Service;
use tokio::time::Instant;

/// Whether requests are at work on a connection, and since when none is.
///
/// hyper bounds the wait for the next request of HTTP/1.1, but not of HTTP/2, where a peer that
/// answers pings could keep a connection for ever without asking anything.
#[derive(Clone)]
pub(super) struct Activity(Arc<Mutex<State>>);

struct State {
    at_work: usize,
    /// When the last of them began or ended.
    changed: Instant,
}

impl Activity {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(State { at_work: 0, changed: Instant::now() })))
    }

    /// Returns once no request has been at work for `longest`.
    pub(super) async fn ceased(&self, longest: Duration) {
        loop {
            let (at_work, changed) = {
                let state = self.state();
                (state.at_work, state.changed)
            };
            let now = Instant::now();
            match at_work {
                0 if now >= changed + longest => return,
                0 => tokio::time::sleep_until(changed + longest).await,
                // It ends by its own deadline; looking again then is early enough.
                _ => tokio::time::sleep(longest).await,
            }
        }
    }

    fn count(&self, change: impl FnOnce(usize) -> usize) {
        let mut state = self.state();
        state.at_work = change(state.at_work);
        state.changed = Instant::now();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request at work, from its head to its answer.
struct AtWork(Activity);

impl AtWork {
    fn begin(activity: &Activity) -> Self {
        activity.count(|at_work| at_work + 1);
        Self(activity.clone())
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        self.0.count(|at_work| at_work - 1);
    }
}

/// A service whose requests show in an [`Activity`].
pub(super) struct Watched<S> {
    service: S,
    activity: Activity,
}

impl<S> Watched<S> {
    pub(super) fn new(service: S, activity: Activity) -> Self {
        Self { service, activity }
    }
}

impl<S, R> Service<R> for Watched<S>
where
    S: Service<R>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn call(&self, request: R) -> Self::Future {
        let at_work = AtWork::begin(&self.activity);
        let answer = self.service.call(request);
        Box::pin(async move {
            let _at_work = at_work;
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
    async fn it_ceases_when_long_unasked_and_not_while_at_work() {
        let (activity, started) = (Activity::new(), Instant::now());
        let at_work = AtWork::begin(&activity);
        tokio::spawn(async move {
            tokio::time::sleep(LONGEST * 3 + SECOND).await;
            drop(at_work);
        });

        activity.ceased(LONGEST).await;

        assert_eq!(started.elapsed().as_secs(), (LONGEST * 4 + SECOND).as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_never_asks_ceases_too() {
        let (activity, started) = (Activity::new(), Instant::now());

        activity.ceased(LONGEST).await;

        assert_eq!(started.elapsed().as_secs(), LONGEST.as_secs());
    }
}
