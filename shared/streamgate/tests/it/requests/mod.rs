//! Tests of requests and replies, from the side of a gateway.

mod absence;
mod ambiguous;
mod destinations;
mod replies;
mod round_trip;
