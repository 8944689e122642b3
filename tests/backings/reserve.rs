//! Huge pages that the daemon takes from the host are the host's again.

use bo_manager::{Backing, Daemon};
use bo_tests::{Host, User, until};

use super::*;

#[test]
fn what_was_reserved_is_given_back_at_the_orderly_end() {
    let host = Host::alone();
    let before = host.pool();
    let wanted = before.available() + 16;
    let pool = Pool { vram: ByteCount::new(wanted * HUGE), backing: Backing::Auto, ..pool() };
    let mut station = Station::process_with(&PROGRAMS, pool, &["--reserve"]);
    assert_eq!(host.pool().total, before.total + 16);
    let log = station.log().join("\n");
    assert!(log.contains("\"backing\":\"huge\"") && log.contains("huge pages reserved"), "{log}");
    let metrics = station.metrics();
    assert_eq!(metrics["bo_backing_info{backing=\"huge\"}"], 1);
    assert_eq!(metrics["bo_backing_info{backing=\"pages\"}"], 0);
    assert_eq!(metrics["bo_backing_reserved_bytes"], 16 * HUGE);
    let mut actor = station.client(User::Nobody);
    let (_, mapping) = object(&mut actor, 20 * HUGE, HUGE);
    actor.fill(mapping, SEED);
    actor.check(mapping, SEED);
    drop(actor);
    station.stop();
    assert_eq!(host.pool(), before);
}

#[test]
fn what_a_client_still_holds_goes_back_when_it_ends() {
    let host = Host::alone();
    let before = host.pool();
    let mut station = station(Backing::Huge);
    let mut actor = station.client(User::Nobody);
    let (_, mapping) = object(&mut actor, 4 * HUGE, HUGE);
    actor.fill(mapping, SEED);
    station.stop();
    actor.check(mapping, SEED);
    assert!(host.pool().total <= before.total + 4);
    actor.kill();
    until("the host has all of it", || (host.pool() == before).then_some(()));
}

#[test]
fn a_start_that_fails_keeps_nothing() {
    let host = Host::alone();
    let before = host.pool();
    let station = station(Backing::Pages);
    let taken = Config {
        backing: Backing::Huge,
        reserve: true,
        ..Config::new(ByteCount::new(VRAM), ByteCount::mib(64), station.socket().to_owned())
    };
    let error = Daemon::start(taken).expect_err("the socket is taken");
    assert!(format!("{error:#}").contains("cannot listen"), "{error:#}");
    assert_eq!(host.pool(), before);
}
