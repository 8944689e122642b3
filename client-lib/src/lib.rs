//! The client library of the buffer-object manager: allocate objects, map them, use plain pointers.
//!
//! All objects together may be far larger than the VRAM pool; the daemon moves their pages between
//! the pool and system RAM while programs run, and nobody's pointer ever changes. A page that is in
//! the pool costs an ordinary load; one that is not makes its toucher wait until it is.
//!
//! # Example
//!
//! ```no_run
//! use bo_client::{AllocSpec, ByteCount, Client};
//!
//! let client = Client::builder().name("example").connect_default()?;
//! let size = ByteCount::mib(256);
//! let object = client.allocate(AllocSpec::new(size.get()).label("frames"))?;
//! let mapping = object.map()?;
//! mapping.write_at(0, b"first")?;
//! let mut back = [0; 5];
//! mapping.read_at(0, &mut back)?;
//! assert_eq!(&back, b"first");
//! # Ok::<(), bo_client::Error>(())
//! ```
//!
//! # What to know
//!
//! - Everything blocks, and each request waits for its reply. Threads may share a [`Client`],
//!   objects and mappings.
//! - The library starts no thread, unless [`DaemonLost::Sigbus`] is asked for.
//! - Memory that others may write is never a `&[u8]`: a [`Mapping`] copies and has atomics. Who has
//!   an object alone gets slices from an [`ExclusiveMapping`].
//! - After fork(2), a child has none of the mappings and cannot use the connection. It connects
//!   anew. Mappings survive neither fork(2) nor execve(2).
//! - When the daemon dies, pages that are in VRAM stay usable. What touching others does is up to
//!   [`ClientBuilder::on_daemon_lost`]; it never reads zeros in place of bytes.
//! - A thread that waits for a page can be killed at once. Its signal handlers run, and it waits
//!   again afterwards.

// Not `forbid`: `exclusive` has the two unsafe operations of this crate, and says why they are not
// in `bo-sys`.
#![deny(unsafe_code)]

mod alloc;
mod builder;
mod byte_range;
mod client;
mod connection;
mod error;
mod exclusive;
mod export;
mod handle;
mod link;
mod mapping;
mod object;
mod socket_path;
mod watch;

pub use alloc::AllocSpec;
pub use builder::ClientBuilder;
pub use client::Client;
pub use error::Error;
pub use exclusive::{ExclusiveError, ExclusiveMapping};
pub use export::{ExportedObject, Importable};
pub use mapping::Mapping;
pub use object::Object;
pub use socket_path::default_socket_path;

/// The mapping underneath a [`Mapping`], with `unsafe` methods for those who can keep a promise.
pub use bo_sys::mapping::ClientMapping;
pub use bo_units::{ByteCount, PageSize};
pub use bo_wire::{Access, DaemonLost, ObjectStat, ParseTokenError, Placement, Priority, Token};

/// The README's example compiles, or its tests fail.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct ReadmeExample;
