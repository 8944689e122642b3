//! The control protocol between clients and the daemon: messages to bytes and back.
//!
//! One message is one packet of a `SOCK_SEQPACKET` socket, so it arrives whole or not at all: a
//! fixed header of 16 bytes, then the body. Descriptors travel beside the bytes, at most one with
//! a message; [`Request::descriptors`] and [`Reply::descriptors`] say how many must have come.
//!
//! A message has exactly one encoding. What decodes but would encode otherwise (an overlong
//! number, a byte too many) is refused, so that nothing can be smuggled past a comparison.
//!
//! **Never here:** a socket, a descriptor, a table of ids. Ids that arrive are `Claimed…` values;
//! who owns the table turns them into something that may be used.
//!
//! # Example
//!
//! ```
//! use bo_wire::{ClaimedObject, Request, decode_request, encode_request};
//!
//! let request = Request::Stat { object: ClaimedObject::new(7) };
//! let packet = encode_request(41, &request);
//! assert_eq!(decode_request(&packet), Ok((41, request)));
//! assert!(decode_request(&packet[1..]).is_err());
//! ```

#![forbid(unsafe_code)]

mod claimed;
mod codec;
mod header;
mod label;
mod refusal;
mod reply;
mod request;
mod token;

pub use claimed::{ClaimedMapping, ClaimedObject};
pub use codec::{decode_reply, decode_request, encode_reply, encode_request};
pub use header::DecodeError;
pub use label::{Label, LabelError};
pub use refusal::{InvalidKind, LimitKind, Refusal, UnsupportedKind};
pub use reply::{ObjectStat, Reply, UffdSource};
pub use request::{Access, DaemonLost, Placement, Priority, Request};
pub use token::{ParseTokenError, Token};

/// The longest packet, header included, in bytes.
///
/// Messages are far shorter: the bound is what a receiver must have room for, and leaves later
/// versions some.
pub const MESSAGE_BYTES_MAX: usize = 4096;

/// The most descriptors that come with one message.
pub const DESCRIPTORS_MAX: usize = 1;

/// The version of the protocol that this crate speaks. A peer with another one is refused.
pub const PROTOCOL_VERSION: u16 = 2;

/// The longest [`Label`], in bytes of UTF-8.
pub const LABEL_BYTES_MAX: usize = 64;
