//! A request and its reply, from the side that asks.

mod absence;
mod ambiguous;
mod replies;
mod round_trip;
