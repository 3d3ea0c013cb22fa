//! Sends a request once.

use std::error::Error;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use reqwest::{Client, Response};
use tokio::time::timeout;

use super::headers;
use super::outgoing::Outgoing;
use crate::retry_after::retry_after;

/// How one try ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// With a whole answer.
    Answered(Answered),
    /// The answer had more bytes than allowed; the rest was not read.
    TooLarge,
    /// Before a byte of the request was sent: no connection, no TLS, no such name, or the connection was closed.
    Unreachable(String),
    /// The request, or a part of it, was sent, and there is no whole answer.
    NoAnswer(String),
}

/// A whole answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answered {
    pub(super) status: u16,
    /// As the upstream sent it, if it is text.
    pub(super) content_type: Option<String>,
    pub(super) headers: Vec<(String, String)>,
    pub(super) retry_after: Option<Duration>,
    pub(super) body: Bytes,
}

/// Sends `outgoing` with these header fields and reads the answer within `bound`, at most `most` bytes of its body.
pub(super) async fn send(
    client: &Client,
    outgoing: &Outgoing,
    headers: HeaderMap,
    most: usize,
    bound: Duration,
) -> Outcome {
    let request = client
        .request(outgoing.method.clone(), outgoing.url.clone())
        .headers(headers)
        .body(outgoing.body.clone());
    let exchange = async {
        match request.send().await {
            Ok(response) => read(response, most).await,
            Err(error) if was_not_sent(&error) => Outcome::Unreachable(detail(error)),
            Err(error) => Outcome::NoAnswer(detail(error)),
        }
    };
    match timeout(bound, exchange).await {
        Ok(outcome) => outcome,
        Err(_elapsed) => Outcome::NoAnswer(format!("no whole answer within {bound:?}")),
    }
}

async fn read(mut response: Response, most: usize) -> Outcome {
    let mut body = BytesMut::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() > most => return Outcome::TooLarge,
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => break,
            Err(error) => return Outcome::NoAnswer(detail(error)),
        }
    }
    let fields = response.headers();
    Outcome::Answered(Answered {
        status: response.status().as_u16(),
        content_type: fields.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).map(str::to_owned),
        headers: headers::of_answer(fields),
        retry_after: retry_after(fields),
        body: body.freeze(),
    })
}

/// True if no byte of the request can have left: there was no connection, or it was closed before the request was
/// taken from the queue of the connection.
fn was_not_sent(error: &reqwest::Error) -> bool {
    error.is_connect() || error.is_builder() || causes(error).any(is_cancelled)
}

fn is_cancelled(error: &(dyn Error + 'static)) -> bool {
    error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_canceled)
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn Error + 'static)| (*error).source())
}

/// The error with its causes but without its URL, which holds a caller's text.
fn detail(error: reqwest::Error) -> String {
    let error = error.without_url();
    let causes: Vec<String> = causes(&error).map(ToString::to_string).collect();
    causes.join(": ")
}
