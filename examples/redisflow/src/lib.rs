//! **RedisFlow**: two producers, Protocol Buffers, and one consumer group that survives everything.
//!
//! In reading order:
//!
//! | Module | What it does |
//! |---|---|
//! | [`message`] | the event that travels, and its encoding |
//! | [`settings`] | every flag and variable, checked before anything starts |
//! | [`producer`] | makes events, keeps them while Redis is away, sends them in order |
//! | [`consumer`] | works on events as a member of the group |
//! | [`inspect`] | what is on the stream, in the group and pending |
//! | [`demo`] | all parts as processes of their own, with a live view |
//! | [`serve`] | what makes a producer or a consumer a process: connection, metrics, traces, signals |

pub mod consumer;
pub mod demo;
pub mod inspect;
pub mod message;
pub mod producer;
pub mod serve;
pub mod settings;
