//! What no honest peer sends.

use bo_wire::{DecodeError, decode_reply, decode_request, encode_reply, encode_request};
use proptest::prelude::*;

use crate::samples;
use crate::strategies;

/// Cuts `packet` at every byte, and extends it by one byte of each kind; none of it may decode.
#[track_caller]
fn check_length_matters<M: std::fmt::Debug>(
    packet: &[u8],
    decode: impl Fn(&[u8]) -> Result<M, DecodeError>,
) {
    for len in 0..packet.len() {
        assert!(decode(&packet[..len]).is_err(), "cut to {len} of {packet:?}");
    }
    for byte in 0..=u8::MAX {
        let longer = [packet, &[byte]].concat();
        assert!(decode(&longer).is_err(), "{byte} after {packet:?}");
    }
}

/// The same with a header that tells the truth about the length, so that the body is what fails.
#[track_caller]
fn check_body_length_matters<M: std::fmt::Debug>(
    packet: &[u8],
    decode: impl Fn(&[u8]) -> Result<M, DecodeError>,
) {
    for len in 16..packet.len() {
        let cut = with_true_length(packet[..len].to_vec());
        assert_eq!(decode(&cut).expect_err("a cut body"), DecodeError::Malformed);
    }
    for byte in 0..=u8::MAX {
        let longer = with_true_length([packet, &[byte]].concat());
        assert_eq!(decode(&longer).expect_err("a longer body"), DecodeError::Malformed);
    }
}

fn with_true_length(mut packet: Vec<u8>) -> Vec<u8> {
    let body = u32::try_from(packet.len() - 16).expect("short");
    packet[12..16].copy_from_slice(&body.to_le_bytes());
    packet
}

#[test]
fn a_request_cannot_be_cut_or_extended() {
    for request in samples::requests() {
        let packet = encode_request(9, &request);
        check_length_matters(&packet, decode_request);
        check_body_length_matters(&packet, decode_request);
    }
}

#[test]
fn a_reply_cannot_be_cut_or_extended() {
    for reply in samples::replies() {
        let packet = encode_reply(9, &reply);
        check_length_matters(&packet, decode_reply);
        check_body_length_matters(&packet, decode_reply);
    }
}

#[test]
fn an_unknown_message_cannot_be_decoded() {
    for variant in 0..=u8::MAX {
        let mut packet = encode_request(9, &bo_wire::Request::AttachUffd);
        packet[16] = variant;
        // `AttachUffd` is the only request without a body.
        assert_eq!(decode_request(&packet).is_ok(), variant == 1, "variant {variant}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(decode_request(&bytes).is_err());
        prop_assert!(decode_reply(&bytes).is_err());
    }

    #[test]
    fn random_bodies_never_panic_and_have_one_encoding(
        id: u32,
        body in proptest::collection::vec(any::<u8>(), 0..100),
    ) {
        let request = encode_request(id, &bo_wire::Request::AttachUffd);
        let packet = with_true_length([&request[..16], &body].concat());
        if let Ok((id, request)) = decode_request(&packet) {
            prop_assert_eq!(encode_request(id, &request), packet);
        }
        let reply = encode_reply(id, &bo_wire::Reply::Done);
        let packet = with_true_length([&reply[..16], &body].concat());
        if let Ok((id, reply)) = decode_reply(&packet) {
            prop_assert_eq!(encode_reply(id, &reply), packet);
        }
    }

    #[test]
    fn a_spoilt_request_is_another_request_or_none(
        request in strategies::request(),
        at: prop::sample::Index,
        with: u8,
    ) {
        let honest = encode_request(3, &request);
        let mut packet = honest.clone();
        packet[at.index(honest.len())] = with;
        if let Ok((id, decoded)) = decode_request(&packet) {
            prop_assert_eq!(encode_request(id, &decoded), packet);
        }
    }

    #[test]
    fn a_spoilt_reply_is_another_reply_or_none(
        reply in strategies::reply(),
        at: prop::sample::Index,
        with: u8,
    ) {
        let honest = encode_reply(3, &reply);
        let mut packet = honest.clone();
        packet[at.index(honest.len())] = with;
        if let Ok((id, decoded)) = decode_reply(&packet) {
            prop_assert_eq!(encode_reply(id, &decoded), packet);
        }
    }
}
