//! Users and events with an audit trail that is true.
//!
//! A change of a user or a task and the event that tells of it are one transaction: the event goes into the outbox, a
//! relay appends it to its stream, and consumers let it take effect once. In reading order:
//!
//! | Module | What |
//! |---|---|
//! | [`model`] | users, tasks, events and what events change |
//! | [`store`] | the database: SQLite or PostgreSQL behind one repository |
//! | [`relay`] | from the outbox to the streams |
//! | [`consume`] | the consumer groups and the simple consumer |
//! | [`api`] | the HTTP API with its description |
//! | [`auth`] | accounts, passwords, tokens, roles |
//! | [`config`] | every setting |
//! | [`inspect`], [`load_test`] | to look at everything, and to load it |

pub mod api;
pub mod auth;
pub mod config;
pub mod consume;
pub mod inspect;
pub mod load_test;
pub mod model;
pub mod relay;
pub mod store;
