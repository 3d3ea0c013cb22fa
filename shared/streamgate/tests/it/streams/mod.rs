//! Tests of streams without requests and replies.

mod dead_letters;
mod delays;
mod raw;
mod toolkit;
mod trimming;
