//! Tests of requests and replies, from the side of a gateway.

mod absence;
mod ambiguous;
mod replies;
mod round_trip;
