//! Every recording reads back, and nothing that cannot be is taken for one.

use proptest::prelude::*;

use super::*;

fn header() -> Header {
    Header {
        pool: ByteCount::mib(64),
        page_size: Some(PageSize::KIB_64),
        fault_around: ByteCount::kib(64),
        started: 1_700_000_000,
        policy: "lru".to_owned(),
    }
}

fn any_what() -> impl Strategy<Value = What> {
    let kinds = prop_oneof![Just(FaultKind::Missing), Just(FaultKind::WriteProtected)];
    prop_oneof![
        (any::<bool>(), kinds).prop_map(|(write, kind)| What::Fault { write, kind }),
        proptest::sample::select(&CAUSES[..]).prop_map(What::Filled),
        any::<(bool, bool)>().prop_map(|(background, clean)| What::Evicted { background, clean }),
        Just(What::Freed),
    ]
}

fn any_record() -> impl Strategy<Value = Record> {
    let numbers = (any::<u64>(), proptest::option::of(0..NOBODY), any::<u64>());
    let pages = (12_u32..22, 0_u32..1 << 28, 1_u32..1 << 20);
    let events = (any_what(), numbers, pages).prop_map(|(what, numbers, pages)| {
        let range = PageRange::checked_new(PageIndex::new(pages.1), PageCount::new(pages.2));
        Record::Event(Event {
            at: Tick::from_nanos(numbers.0),
            what,
            client: numbers.1.map(ClientId::from_u64),
            object: ObjectId::from_u64(numbers.2),
            page_size: PageSize::new(1 << pages.0).expect("one of the sizes"),
            pages: range.expect("far from the end of the numbers"),
        })
    });
    let lost = (any::<u64>(), 1..=u64::MAX)
        .prop_map(|(at, events)| Record::Lost { at: Tick::from_nanos(at), events });
    prop_oneof![9 => events, 1 => lost]
}

#[test]
fn the_bytes_of_a_record_are_where_the_table_says() {
    let record = Record::Event(Event {
        at: Tick::from_nanos(0x0807_0605_0403_0201),
        what: What::Fault { write: true, kind: FaultKind::WriteProtected },
        client: Some(ClientId::new(5, 6)),
        object: ObjectId::new(7, 8),
        page_size: PageSize::KIB_64,
        pages: PageRange::checked_new(PageIndex::new(9), PageCount::new(2)).expect("two pages"),
    });
    let bytes = record.encode();
    assert_eq!(bytes[..8], [1, 3, 16, 0, 2, 0, 0, 0]);
    assert_eq!(bytes[8..16], [1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(bytes[16..], [5, 0, 0, 0, 6, 0, 0, 0, 7, 0, 0, 0, 8, 0, 0, 0, 9, 0, 0, 0]);
}

#[test]
fn a_header_reads_back() {
    for page_size in [None, Some(PageSize::MIN), Some(PageSize::MAX)] {
        let header = Header { page_size, ..header() };
        assert_eq!(Header::decode(&header.encode()), Ok(header));
    }
    let long = Header { policy: "a policy with a name that is far too long".into(), ..header() };
    let read = Header::decode(&long.encode()).expect("it is cut");
    assert_eq!(read.policy, "apolicywithanamethatisfartoolong");
}

#[test]
fn other_versions_and_other_files_are_told_apart() {
    let mut bytes = header().encode();
    bytes[8] = 2;
    assert_eq!(Header::decode(&bytes), Err(Unreadable::Version(2)));
    let said = Unreadable::Version(2).to_string();
    assert!(said.contains("version 2") && said.contains("only 1"), "{said}");
    bytes[0] = b'b';
    assert_eq!(Header::decode(&bytes), Err(Unreadable::Foreign));
    let nameless = Header { policy: String::new(), ..header() };
    assert!(Header::decode(&nameless.encode()).is_err());
}

#[test]
fn nothing_lost_and_no_pages_cannot_be_recorded() {
    let mut bytes = Record::Lost { at: Tick::ZERO, events: 1 }.encode();
    bytes[16] = 0;
    assert!(Record::decode(&bytes).is_err());
    assert!(Record::decode(&[0; RECORD_BYTES]).is_err());
}

proptest! {
    #[test]
    fn every_record_reads_back(record in any_record()) {
        prop_assert_eq!(Record::decode(&record.encode()), Ok(record));
    }

    #[test]
    fn a_changed_record_is_refused_or_is_another_in_its_only_form(
        record in any_record(),
        at in 0..RECORD_BYTES,
        flip in 1_u8..,
    ) {
        let mut bytes = record.encode();
        bytes[at] ^= flip;
        if let Ok(read) = Record::decode(&bytes) {
            prop_assert_ne!(read, record);
            prop_assert_eq!(read.encode(), bytes);
        }
    }

    #[test]
    fn a_changed_header_is_refused_or_is_another_in_its_only_form(
        at in 0..HEADER_BYTES,
        flip in 1_u8..,
    ) {
        let mut bytes = header().encode();
        bytes[at] ^= flip;
        if let Ok(read) = Header::decode(&bytes) {
            prop_assert_ne!(&read, &header());
            prop_assert_eq!(read.encode(), bytes);
        }
    }

    #[test]
    fn noise_is_no_recording(bytes in any::<[u8; 32]>()) {
        let mut header = [0; HEADER_BYTES];
        header[..32].copy_from_slice(&bytes);
        prop_assert_eq!(Header::decode(&header), Err(Unreadable::Foreign));
    }
}
