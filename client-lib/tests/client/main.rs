//! The client library against a daemon of its own, small enough to misbehave on demand.

#![forbid(unsafe_code)]

mod connecting;
mod exclusive;
mod fake;
mod lost;
mod mapping;
mod misbehaviour;
mod objects;
mod sharing;
