use std::sync::Arc;

use streamgate::responder::{Handler, Response, Work};
use tokio::sync::watch;

use super::target::Target;
use crate::forward::forward;

/// Gives each request of a queue to the weather or to its upstream.
pub struct StreamHandler<H> {
    pub(super) weather: Arc<H>,
    pub(super) target: watch::Receiver<Arc<Target>>,
}

impl<H: Handler> Handler for StreamHandler<H> {
    async fn handle(&self, work: Work) -> Response {
        let target = Arc::clone(&self.target.borrow());
        match target.doer(&work.request) {
            // Boxed, because it is large and the weather is not.
            Some(doer) => match &doer.upstream {
                Some(upstream) => Box::pin(forward(work, Some(&doer.route), upstream)).await,
                None => self.weather.handle(work).await,
            },
            None => Response::problem(work.request.id, 502, "no route says who does the work of this stream"),
        }
    }
}
