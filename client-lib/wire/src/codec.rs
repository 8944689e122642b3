//! Messages to packets and back, strictly.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::header::{self, DecodeError, Kind};
use crate::reply::Reply;
use crate::request::Request;

/// The packet that carries `request`; the reply will repeat `id`.
///
/// At most [`MESSAGE_BYTES_MAX`](crate::MESSAGE_BYTES_MAX) bytes, whatever the request says.
#[must_use]
pub fn encode_request(id: u32, request: &Request) -> Vec<u8> {
    header::seal(Kind::Request, id, &encode(request))
}

/// The id and the request that `packet` carries.
///
/// # Errors
///
/// [`DecodeError`] if the packet is not exactly what [`encode_request`] makes of some request.
pub fn decode_request(packet: &[u8]) -> Result<(u32, Request), DecodeError> {
    let (id, body) = header::open(Kind::Request, packet)?;
    Ok((id, decode(body)?))
}

/// The packet that answers request number `id` with `reply`.
///
/// At most [`MESSAGE_BYTES_MAX`](crate::MESSAGE_BYTES_MAX) bytes, whatever the reply says.
#[must_use]
pub fn encode_reply(id: u32, reply: &Reply) -> Vec<u8> {
    header::seal(Kind::Reply, id, &encode(reply))
}

/// The id and the reply that `packet` carries.
///
/// # Errors
///
/// [`DecodeError`] if the packet is not exactly what [`encode_reply`] makes of some reply.
pub fn decode_reply(packet: &[u8]) -> Result<(u32, Reply), DecodeError> {
    let (id, body) = header::open(Kind::Reply, packet)?;
    Ok((id, decode(body)?))
}

fn encode<M: Serialize>(message: &M) -> Vec<u8> {
    postcard::to_allocvec(message).expect("messages hold only what postcard can write, in memory")
}

fn decode<M: Serialize + DeserializeOwned>(body: &[u8]) -> Result<M, DecodeError> {
    let (message, rest) =
        postcard::take_from_bytes::<M>(body).map_err(|_| DecodeError::Malformed)?;
    if !rest.is_empty() {
        return Err(DecodeError::Malformed);
    }
    // Postcard reads overlong numbers. Writing the message again is the whole check for them, and
    // needs no knowledge of its parts.
    if encode(&message) != body {
        return Err(DecodeError::Malformed);
    }
    Ok(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_cannot_be_read_as_a_reply() {
        let packet = encode_request(1, &Request::AttachUffd);
        assert_eq!(decode_reply(&packet), Err(DecodeError::WrongKind { theirs: 1 }));
    }

    #[test]
    fn a_reply_cannot_be_read_as_a_request() {
        let packet = encode_reply(1, &Reply::Done);
        assert_eq!(decode_request(&packet), Err(DecodeError::WrongKind { theirs: 2 }));
    }

    #[test]
    fn an_overlong_number_is_refused() {
        // Variant 1, `AttachUffd`, whose number could also be written with a useless second byte.
        let short = header::seal(Kind::Request, 1, &[0x01]);
        let overlong = header::seal(Kind::Request, 1, &[0x81, 0x00]);
        assert_eq!(decode_request(&short), Ok((1, Request::AttachUffd)));
        assert_eq!(decode_request(&overlong), Err(DecodeError::Malformed));
    }

    #[test]
    fn a_trailing_byte_is_refused() {
        let packet = header::seal(Kind::Request, 1, &[0x01, 0x00]);
        assert_eq!(decode_request(&packet), Err(DecodeError::Malformed));
    }

    #[test]
    fn an_empty_body_is_refused() {
        let packet = header::seal(Kind::Reply, 1, &[]);
        assert_eq!(decode_reply(&packet), Err(DecodeError::Malformed));
    }
}
