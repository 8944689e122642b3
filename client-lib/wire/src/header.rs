//! The sixteen bytes before every body, and what can be wrong with a packet.

use thiserror::Error;
use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::{MESSAGE_BYTES_MAX, PROTOCOL_VERSION};

/// `BOM1`, read as a little-endian number.
const MAGIC: u32 = u32::from_le_bytes(*b"BOM1");

pub(crate) const HEADER_BYTES: usize = size_of::<Header>();

const _: () = assert!(HEADER_BYTES == 16);

/// The start of every packet, in the order of the wire.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Header {
    magic: U32,
    version: U16,
    kind: U16,
    /// Chosen by the client; a reply repeats the one of its request.
    id: U32,
    /// What follows, in bytes: exactly the rest of the packet.
    body_bytes: U32,
}

/// Which way a message goes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Request,
    Reply,
}

impl Kind {
    const fn number(self) -> u16 {
        match self {
            Kind::Request => 1,
            Kind::Reply => 2,
        }
    }
}

/// What is wrong with a packet. All of it is the sender's doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// The packet ends before its header does.
    #[error("a packet of {len} bytes is shorter than a header")]
    TooShort {
        /// The length of the packet, in bytes.
        len: usize,
    },
    /// The packet is longer than [`MESSAGE_BYTES_MAX`].
    #[error("a packet of {len} bytes is longer than any message")]
    TooLong {
        /// The length of the packet, in bytes.
        len: usize,
    },
    /// The packet does not start as messages do: the peer speaks something else.
    #[error("the packet is not of this protocol")]
    WrongMagic,
    /// The peer speaks another version of the protocol.
    #[error(
        "protocol version {theirs} is not spoken here, only {PROTOCOL_VERSION}; \
         use a client library and a daemon of the same release"
    )]
    WrongVersion {
        /// The version that the peer speaks.
        theirs: u16,
    },
    /// A reply where a request was expected, or the other way round, or neither.
    #[error("a message of kind {theirs} cannot come from this side")]
    WrongKind {
        /// The kind as the packet states it.
        theirs: u16,
    },
    /// The header announces a body of another length than the one that came.
    #[error("a body of {stated} bytes was announced, and {came} came")]
    WrongLength {
        /// What the header says, in bytes.
        stated: u32,
        /// What followed the header, in bytes.
        came: usize,
    },
    /// The body is no message, or not the one encoding that its message has.
    #[error("the body is malformed")]
    Malformed,
}

/// A whole packet: the header for `body`, then `body`.
pub(crate) fn seal(kind: Kind, id: u32, body: &[u8]) -> Vec<u8> {
    assert!(HEADER_BYTES + body.len() <= MESSAGE_BYTES_MAX);
    let body_bytes = u32::try_from(body.len()).expect("compared with a smaller bound above");
    let header = Header {
        magic: U32::new(MAGIC),
        version: U16::new(PROTOCOL_VERSION),
        kind: U16::new(kind.number()),
        id: U32::new(id),
        body_bytes: U32::new(body_bytes),
    };
    let mut packet = Vec::with_capacity(HEADER_BYTES + body.len());
    packet.extend_from_slice(header.as_bytes());
    packet.extend_from_slice(body);
    packet
}

/// Checks the header of `packet`, and hands out its id and its body.
pub(crate) fn open(kind: Kind, packet: &[u8]) -> Result<(u32, &[u8]), DecodeError> {
    let len = packet.len();
    if MESSAGE_BYTES_MAX < len {
        return Err(DecodeError::TooLong { len });
    }
    let (header, body) =
        Header::ref_from_prefix(packet).map_err(|_| DecodeError::TooShort { len })?;
    if header.magic.get() != MAGIC {
        return Err(DecodeError::WrongMagic);
    }
    if header.version.get() != PROTOCOL_VERSION {
        return Err(DecodeError::WrongVersion { theirs: header.version.get() });
    }
    if header.kind.get() != kind.number() {
        return Err(DecodeError::WrongKind { theirs: header.kind.get() });
    }
    let stated = header.body_bytes.get();
    if usize::try_from(stated) != Ok(body.len()) {
        return Err(DecodeError::WrongLength { stated, came: body.len() });
    }
    Ok((header.id.get(), body))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = b"body";

    #[track_caller]
    fn check_spoilt(at: usize, with: u8, expected: DecodeError) {
        let mut packet = seal(Kind::Request, 7, BODY);
        packet[at] = with;
        assert_eq!(open(Kind::Request, &packet), Err(expected));
    }

    #[test]
    fn a_sealed_body_opens_again() {
        let packet = seal(Kind::Request, u32::MAX, BODY);
        assert_eq!(packet.len(), HEADER_BYTES + BODY.len());
        assert_eq!(open(Kind::Request, &packet), Ok((u32::MAX, BODY)));
        assert_eq!(open(Kind::Reply, &seal(Kind::Reply, 0, b"")), Ok((0, &b""[..])));
    }

    #[test]
    fn the_header_is_little_endian_and_in_this_order() {
        let packet = seal(Kind::Reply, 0x0403_0201, BODY);
        assert_eq!(packet, b"BOM1\x02\x00\x02\x00\x01\x02\x03\x04\x04\x00\x00\x00body");
    }

    #[test]
    fn a_spoilt_header_cannot_be_opened() {
        check_spoilt(0, b'X', DecodeError::WrongMagic);
        check_spoilt(4, 1, DecodeError::WrongVersion { theirs: 1 });
        check_spoilt(5, 1, DecodeError::WrongVersion { theirs: 258 });
        check_spoilt(6, 2, DecodeError::WrongKind { theirs: 2 });
        check_spoilt(6, 3, DecodeError::WrongKind { theirs: 3 });
        check_spoilt(12, 3, DecodeError::WrongLength { stated: 3, came: 4 });
        check_spoilt(12, 5, DecodeError::WrongLength { stated: 5, came: 4 });
        check_spoilt(15, 1, DecodeError::WrongLength { stated: (1 << 24) + 4, came: 4 });
    }

    #[test]
    fn a_packet_of_the_greatest_length_opens() {
        let body = vec![0; MESSAGE_BYTES_MAX - HEADER_BYTES];
        let packet = seal(Kind::Reply, 1, &body);
        assert_eq!(open(Kind::Reply, &packet), Ok((1, &body[..])));
    }

    #[test]
    fn packets_beyond_the_edges_cannot_be_opened() {
        let len = MESSAGE_BYTES_MAX + 1;
        assert_eq!(open(Kind::Reply, &vec![0; len]), Err(DecodeError::TooLong { len }));
        assert_eq!(open(Kind::Reply, &[]), Err(DecodeError::TooShort { len: 0 }));
        assert_eq!(open(Kind::Reply, &[0; 15]), Err(DecodeError::TooShort { len: 15 }));
    }
}
