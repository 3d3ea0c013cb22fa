//! Tests of an ingress with a routes file, with workers that use the library.

mod answers;
mod bodies;
mod callers;
mod commands;
mod fixture;
mod pages;
mod reload;
mod requests;
