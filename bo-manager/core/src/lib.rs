//! Decides which page gets which frame, and who waits; does nothing itself.
//!
//! A [`Manager`] is a value. Things happen to it through `handle_*` methods, what it wants done
//! comes out of [`Manager::poll_effect`], and what came of that goes back in through
//! [`Manager::handle_outcome`]. The time is an argument. Start reading at
//! [`Manager::handle_fault`].
//!
//! **Never here:** a file descriptor, a clock, a thread, an async function.
//! **Never here:** an address. Pages are named, not pointed at.

#![forbid(unsafe_code)]

mod accounts;
mod arena;
mod chunked;
mod effect;
mod entities;
mod frames;
pub mod journal;
mod limits;
mod link;
mod manager;
mod page;
mod patterns;
pub mod policy;
mod pool;
mod prefetch;
mod ranking;
mod refusal;
mod stats;
mod store;

#[cfg(any(test, feature = "sim"))]
pub mod sim;

pub use effect::{
    Action, Copied, Effect, EffectId, Install, InstallEnd, Outcome, Protection, Slot, Source,
};
pub use entities::{ClientState, ClientView, HoldSums, MappingView, ObjectView};
pub use frames::{FrameId, Links, List};
pub use limits::{CoreConfig, LINK_QUEUES_MAX, Limits, Watermarks};
pub use link::{Arrival, Direction, LinkConfig, LinkModel, LinkTotals};
pub use manager::{
    AllocRequest, Allocated, Attached, Events, Evicted, Farewell, Fault, FaultKind, Guard, Heard,
    Manager, PolicyRefusal, Prefetch, PrefetchStart, Resized, Resumed,
};
pub use page::PageKey;
pub use prefetch::{ByCause, PrefetchConfig, PrefetchMode};
pub use ranking::Priority;
pub use refusal::{ControlRefusal, PoolFloor, Refusal};
pub use stats::{ClientStats, Gauges, ObjectStats, Stats};

/// Where an object's pages live while they are present.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Placement {
    /// In the VRAM pool; pages that do not fit wait in the store.
    Vram,
    /// In system RAM, reserved when the object is made and never evicted.
    Ram,
}

/// What a holder may do with an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// Load, never store.
    ReadOnly,
    /// Load and store.
    ReadWrite,
}
