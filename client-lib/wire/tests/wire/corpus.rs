//! The bytes of version 2, as they were when it was fixed.
//!
//! A client library and a daemon of different builds meet on a socket, so an encoding may not
//! change by accident. It would, if somebody reordered the variants of an enum.

use std::fmt::Write;

use bo_wire::{DecodeError, decode_reply, decode_request, encode_reply, encode_request};

use crate::samples;

const MESSAGES: &str = include_str!("../../corpus/v2-messages.txt");
const MALFORMED: &str = include_str!("../../corpus/v2-malformed.txt");

fn to_hex(packet: &[u8]) -> String {
    packet.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes any text");
        text
    })
}

fn from_hex(text: &str) -> Vec<u8> {
    let digits: Vec<char> = text.chars().filter(|c| !c.is_whitespace()).collect();
    let byte = |pair: &[char]| u8::from_str_radix(&String::from_iter(pair), 16);
    digits.chunks(2).map(|pair| byte(pair).expect("two hexadecimal digits")).collect()
}

fn lines(corpus: &str) -> impl Iterator<Item = &str> {
    corpus.lines().filter(|line| !line.is_empty() && !line.starts_with('#'))
}

#[test]
fn version_2_is_encoded_as_it_always_was() {
    let mut encoded = String::new();
    for request in samples::requests() {
        let packet = to_hex(&encode_request(1, &request));
        writeln!(encoded, "request {} {packet}", request.name()).expect("a string");
    }
    for reply in samples::replies() {
        let packet = to_hex(&encode_reply(1, &reply));
        writeln!(encoded, "reply {} {packet}", reply.name()).expect("a string");
    }
    let recorded: Vec<_> = lines(MESSAGES).collect();
    let encoded: Vec<_> = encoded.lines().collect();
    assert_eq!(
        encoded,
        recorded,
        "the encoding of version 2 changed: raise PROTOCOL_VERSION, or undo the change. Now:\n{}",
        encoded.join("\n")
    );
}

#[test]
fn what_was_malformed_once_stays_so() {
    for line in lines(MALFORMED) {
        let packet = from_hex(line);
        assert_eq!(decode_request(&packet), Err(DecodeError::Malformed), "{line}");
        let mut reply = packet;
        reply[6] = 2;
        assert_eq!(decode_reply(&reply), Err(DecodeError::Malformed), "{line}");
    }
}
