//! Tests of streams without requests and replies.

mod dead_letters;
mod fanout;
mod toolkit;
mod trimming;
