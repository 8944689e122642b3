//! Every length and number at its edges.

use bo_wire::{
    ClaimedObject, DaemonLost, DecodeError, LABEL_BYTES_MAX, Label, MESSAGE_BYTES_MAX, Reply,
    Request, decode_reply, decode_request, encode_reply, encode_request,
};

#[track_caller]
fn check_pages(first_page: u32, pages: u32) {
    let request = Request::Touch { object: ClaimedObject::new(0), first_page, pages };
    assert_eq!(decode_request(&encode_request(0, &request)), Ok((0, request)));
}

#[track_caller]
fn check_object(number: u64) {
    let request = Request::Stat { object: ClaimedObject::new(number) };
    assert_eq!(decode_request(&encode_request(u32::MAX, &request)), Ok((u32::MAX, request)));
    let reply = Reply::Mapped { mapping: number };
    assert_eq!(decode_reply(&encode_reply(u32::MAX, &reply)), Ok((u32::MAX, reply)));
}

/// A `Hello` whose label has these bytes, whether a label may have them or not.
fn hello_with_label(label: &[u8]) -> Vec<u8> {
    let empty = Request::Hello { name: Label::default(), on_lost: DaemonLost::Wait };
    let mut packet = encode_request(1, &empty);
    let len = u8::try_from(label.len()).expect("a short label");
    assert!(len < 128, "its length takes one byte");
    packet.truncate(17);
    packet.push(len);
    packet.extend_from_slice(label);
    packet.push(0);
    let body = u32::try_from(packet.len() - 16).expect("a short body");
    packet[12..16].copy_from_slice(&body.to_le_bytes());
    packet
}

#[test]
fn numbers_come_back_around_every_change_of_length() {
    for bits in (0..64).step_by(7) {
        check_object((1 << bits) - 1);
        check_object(1 << bits);
    }
    check_object(u64::MAX);
    check_pages(0, 0);
    check_pages(0, u32::MAX);
    check_pages(u32::MAX, u32::MAX);
}

#[test]
fn a_page_number_of_more_than_32_bits_cannot_be_decoded() {
    let honest = Request::Touch { object: ClaimedObject::new(0), first_page: 0, pages: u32::MAX };
    let mut packet = encode_request(1, &honest);
    assert_eq!(packet.last(), Some(&0x0f));
    *packet.last_mut().expect("not empty") = 0x1f;
    assert_eq!(decode_request(&packet), Err(DecodeError::Malformed));
}

#[test]
fn a_label_of_the_greatest_length_comes_back() {
    let packet = hello_with_label(&[b'x'; LABEL_BYTES_MAX]);
    let name = Label::truncated(&"x".repeat(LABEL_BYTES_MAX));
    let hello = Request::Hello { name, on_lost: DaemonLost::Wait };
    assert_eq!(decode_request(&packet), Ok((1, hello)));
}

#[test]
fn labels_beyond_the_rules_cannot_be_decoded() {
    let too_long = [b'x'; LABEL_BYTES_MAX + 1];
    for label in [&too_long[..], b"a\nb", b"a\x00b", b"\x1b[2J", b"\xff\xfe", b"\xc3"] {
        assert_eq!(decode_request(&hello_with_label(label)), Err(DecodeError::Malformed));
    }
}

#[test]
fn a_label_cannot_claim_more_bytes_than_came() {
    let mut packet = hello_with_label(b"abc");
    for len in 4..=u8::MAX {
        packet[17] = len;
        assert_eq!(decode_request(&packet), Err(DecodeError::Malformed));
    }
}

#[test]
fn an_option_is_there_or_not_and_nothing_else() {
    let reply = Reply::Welcome {
        client: 0,
        uffd: bo_wire::UffdSource::Syscall,
        uffds: 1,
        vram_bytes: 0,
        ram_bytes: 0,
        page_bytes_default: None,
    };
    let mut packet = encode_reply(1, &reply);
    for tag in 1..=u8::MAX {
        *packet.last_mut().expect("not empty") = tag;
        assert_eq!(decode_reply(&packet), Err(DecodeError::Malformed));
    }
}

#[test]
fn a_packet_longer_than_any_message_is_refused_before_it_is_read() {
    let len = MESSAGE_BYTES_MAX + 1;
    assert_eq!(decode_request(&vec![0; len]), Err(DecodeError::TooLong { len }));
}
