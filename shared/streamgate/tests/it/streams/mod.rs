//! Tests of streams without requests and replies.

mod dead_letters;
mod toolkit;
mod trimming;
