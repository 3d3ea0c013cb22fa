//! Tests of streams without requests and replies.

mod dead_letters;
mod delays;
mod toolkit;
mod trimming;
