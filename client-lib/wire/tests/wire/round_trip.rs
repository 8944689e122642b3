//! What one side writes the other reads.

use bo_wire::{
    DESCRIPTORS_MAX, MESSAGE_BYTES_MAX, decode_reply, decode_request, encode_reply, encode_request,
};
use proptest::prelude::*;

use crate::samples;
use crate::strategies;

proptest! {
    #[test]
    fn every_request_comes_back(id: u32, request in strategies::request()) {
        let packet = encode_request(id, &request);
        prop_assert!(packet.len() <= MESSAGE_BYTES_MAX);
        prop_assert!(request.descriptors() <= DESCRIPTORS_MAX);
        prop_assert_eq!(decode_request(&packet), Ok((id, request)));
    }

    #[test]
    fn every_reply_comes_back(id: u32, reply in strategies::reply()) {
        let packet = encode_reply(id, &reply);
        prop_assert!(packet.len() <= MESSAGE_BYTES_MAX);
        prop_assert!(reply.descriptors() <= DESCRIPTORS_MAX);
        prop_assert_eq!(decode_reply(&packet), Ok((id, reply)));
    }

    #[test]
    fn two_requests_never_share_an_encoding(
        one in strategies::request(),
        other in strategies::request(),
    ) {
        let same_bytes = encode_request(1, &one) == encode_request(1, &other);
        prop_assert_eq!(same_bytes, one == other);
    }

    #[test]
    fn a_refusal_is_a_lower_case_fragment(refusal in strategies::refusal()) {
        let text = refusal.to_string();
        prop_assert!(!text.ends_with('.'));
        prop_assert!(!text.starts_with(|c: char| c.is_uppercase()));
        prop_assert!(!text.contains('\n'));
    }
}

#[test]
fn the_messages_that_carry_a_descriptor_are_these() {
    let requests = samples::requests();
    let carriers = requests.iter().filter(|request| request.descriptors() == 1);
    let names: Vec<_> = carriers.map(|request| request.name()).collect();
    assert_eq!(names, ["attach_uffd", "import_descriptor"]);

    let replies = samples::replies();
    let carriers = replies.iter().filter(|reply| reply.descriptors() == 1);
    let names: Vec<_> = carriers.map(|reply| reply.name()).collect();
    assert_eq!(names, ["welcome", "allocated", "exported", "imported"]);
}

#[test]
fn a_token_cannot_be_read_off_a_printed_message() {
    let printed = format!("{:?} {:?}", samples::requests(), samples::replies());
    assert!(printed.contains("Token(redacted)"));
    // The first and the last byte of the sample token, as `Debug` would print an array.
    assert!(!printed.contains("[115, "));
    assert!(!printed.contains("7369"));
}
