//! What errors say, and what they answer to.

use bo_wire::{InvalidKind, LimitKind, UnsupportedKind};

use super::*;

type Predicate = fn(&Error) -> bool;

const PREDICATES: [(&str, Predicate); 11] = [
    ("out_of_memory", Error::is_out_of_memory),
    ("never_fits", Error::is_never_fits),
    ("quota", Error::is_quota),
    ("gone", Error::is_gone),
    ("protocol", Error::is_protocol),
    ("unsupported", Error::is_unsupported),
    ("invalid", Error::is_invalid),
    ("permission", Error::is_permission),
    ("draining", Error::is_draining),
    ("suspended", Error::is_suspended),
    ("timeout", Error::is_timeout),
];

#[track_caller]
fn check(cause: Cause, expected: &[&str]) {
    let error = cause.while_doing(Doing::Stat);
    let holding = PREDICATES.iter().filter(|(_, predicate)| predicate(&error));
    let holding: Vec<_> = holding.map(|(name, _)| *name).collect();
    assert_eq!(holding, expected, "{error}");
}

#[track_caller]
fn check_refused(refusal: Refusal, expected: &[&str]) {
    check(Cause::Refused(refusal), expected);
}

#[test]
fn each_refusal_answers_to_its_predicates_and_no_other() {
    let (asked, possible) = (2, 1);
    check_refused(Refusal::OutOfMemory { asked, left: 1 }, &["out_of_memory"]);
    check_refused(Refusal::NeverFits { asked, possible }, &["out_of_memory", "never_fits"]);
    check_refused(Refusal::PageTooLarge { asked, possible }, &["never_fits"]);
    check_refused(Refusal::Limit { what: LimitKind::Clients, limit: 1 }, &["quota"]);
    check_refused(Refusal::Gone, &["gone"]);
    check_refused(Refusal::ReadOnly, &["permission"]);
    check_refused(Refusal::Invalid(InvalidKind::SizeZero), &["invalid"]);
    let what = UnsupportedKind::Uffd { missing: 1 };
    check_refused(Refusal::Unsupported { what }, &["unsupported"]);
    check_refused(Refusal::Draining, &["draining"]);
    check_refused(Refusal::Suspended, &["suspended"]);
    check_refused(Refusal::Host, &[]);
}

#[test]
fn each_other_cause_answers_to_its_predicates_and_no_other() {
    check(Cause::Gone(Gone::HungUp), &["gone"]);
    check(Cause::Gone(Gone::Forked), &["gone"]);
    check(Cause::implausible("a page size of 5"), &["protocol"]);
    check(Cause::TimedOut { after: Duration::from_secs(1) }, &["timeout"]);
    check(Cause::Misuse(Misuse::OutOfBounds { size: ByteCount::KIB }), &["invalid"]);
    check(Cause::Misuse(Misuse::Shared), &["invalid"]);
    check(Cause::Misuse(Misuse::ReadOnly { granted: Access::ReadOnly }), &["permission"]);
    let denied = io::ErrorKind::PermissionDenied.into();
    check(Cause::Host { what: "connect", error: denied }, &["permission"]);
    let missing = io::ErrorKind::Unsupported.into();
    check(Cause::Host { what: "userfaultfd", error: missing }, &["unsupported"]);
    let other = io::ErrorKind::OutOfMemory.into();
    check(Cause::Host { what: "mmap", error: other }, &[]);
}

#[test]
fn an_error_reads_as_one_line() {
    let refusal = Refusal::OutOfMemory { asked: 3 << 30, left: 1 << 30 };
    let error = Cause::Refused(refusal).while_doing(Doing::Allocate(ByteCount::gib(3)));
    assert_eq!(
        error.to_string(),
        "cannot allocate 3 GiB: 3 GiB were asked for, 1 GiB are left of VRAM and RAM together; \
         release objects or ask for less"
    );
}

#[test]
fn a_failure_of_the_host_keeps_its_source() {
    let error = io::Error::from(io::ErrorKind::OutOfMemory);
    let error = Cause::Host { what: "mmap", error }.while_doing(Doing::Map(ByteCount::KIB));
    assert!(error.source().is_some_and(|source| source.is::<io::Error>()));
    assert!(error.to_string().starts_with("cannot map 1 KiB of an object: mmap: "));
}

#[test]
fn an_error_is_small_and_crosses_threads() {
    fn crosses_threads<T: Send + Sync + 'static>() {}
    crosses_threads::<Error>();
    assert_eq!(size_of::<Error>(), size_of::<usize>());
}
