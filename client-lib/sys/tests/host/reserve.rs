//! Taking huge pages from the host, and giving them back.

use bo_sys::hugepages::{GivenBack, PoolCounts, ReserveError};

use super::*;

fn counts() -> PoolCounts {
    PoolCounts::of_this_host().unwrap()
}

#[test]
fn a_reservation_adds_what_is_missing_and_gives_back_just_that() {
    let _host = Host::alone();
    let before = counts();
    let wanted = before.available() + 3;
    let reservation = pool(wanted);
    assert_eq!((reservation.pages(), counts().available()), (3, wanted));
    // What is free already is not added once more.
    let second = pool(2);
    assert_eq!((second.pages(), counts().total), (0, before.total + 3));
    assert_eq!(second.give_back().unwrap(), GivenBack { pages: 0, in_use: 0 });
    assert_eq!(reservation.give_back().unwrap(), GivenBack { pages: 3, in_use: 0 });
    assert_eq!(counts(), before);
}

#[test]
fn a_reservation_that_is_dropped_is_given_back() {
    let _host = Host::alone();
    let before = counts();
    drop(pool(before.available() + 2));
    assert_eq!(counts(), before);
}

#[test]
fn pages_in_use_go_back_to_the_host_when_they_are_free() {
    let _host = Host::alone();
    let before = counts();
    let reservation = pool(before.available() + 2);
    let file = ObjectFile::create_huge("held", (before.available() + 2) * HUGE).unwrap();
    file.populate_zero(0, file.len()).unwrap();
    assert_eq!(reservation.give_back().unwrap(), GivenBack { pages: 2, in_use: 2 });
    assert_eq!(counts().surplus, before.surplus + 2);
    drop(file);
    assert_eq!(counts(), before);
}

#[test]
fn more_than_the_host_has_is_refused_with_the_number_and_nothing_is_kept() {
    let _host = Host::alone();
    let before = counts();
    let memory = rustix::system::sysinfo();
    let asked = memory.totalram * u64::from(memory.mem_unit) / HUGE + 1;
    let error = Reservation::make(before.available() + asked).unwrap_err();
    let ReserveError::Short { asked: told, had } = error else { panic!("{error:?}") };
    assert_eq!(told, before.available() + asked);
    assert!(0 < had && had < told, "{had}");
    assert_eq!(counts(), before);
}
