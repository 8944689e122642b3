//! `linux/userfaultfd.h` in Rust: the structures, ioctl numbers and flags, and nothing else.
//!
//! The published crate of this name generates the same items with bindgen, which needs libclang on
//! the building machine. This one is written by hand after the kernel's header, as of Linux 6.18.
//! The `userfaultfd` crate finds every name and type that it expects, whatever Cargo features are
//! on; `bo-sys` uses the younger half, which the published crate lacks.
//!
//! Names are the kernel's, so that its documentation can be searched for them. Each structure's
//! size and each ioctl number is checked when this crate is compiled.

#![forbid(unsafe_code)]

mod feature;
mod ioctl;
mod message;

pub use feature::*;
pub use ioctl::*;
pub use message::*;
