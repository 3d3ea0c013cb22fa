//! Tests of streams without requests and replies.

mod channel;
mod dead_letters;
mod delays;
mod fanout;
mod raw;
mod toolkit;
mod trimming;
