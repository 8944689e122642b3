//! What cannot be had is refused at the start, with what to do.

use bo_manager::{Backing, Daemon};
use bo_sys::hugepages::ShmemHuge;
use bo_tests::Host;

use super::*;

#[track_caller]
fn refused(vram: u64, backing: Backing, reserve: bool, words: &[&str]) {
    let place = tempfile::tempdir().expect("a directory");
    let config = Config::new(ByteCount::new(vram), ByteCount::mib(64), place.path().join("socket"));
    let error = Daemon::start(Config { backing, reserve, ..config }).expect_err("no such pool");
    let error = format!("{error:#}");
    println!("{error}");
    for word in words {
        assert!(error.contains(word), "{word:?} is not in: {error}");
    }
}

#[test]
fn huge_pages_that_are_not_there_are_refused_with_the_numbers() {
    let host = Host::alone();
    let free = host.pool().available();
    let vram = (free + 16) * HUGE;
    let needs = format!("needs {} free pages of 2 MiB and the host has {free}", free + 16);
    refused(vram, Backing::Huge, false, &[&needs, "--reserve", "nr_hugepages"]);
}

#[test]
fn more_than_the_host_has_is_refused_with_what_it_has() {
    let host = Host::alone();
    let before = host.pool();
    let memory = rustix::system::sysinfo();
    let all = memory.totalram * u64::from(memory.mem_unit) + (1 << 30);
    refused(all / HUGE * HUGE, Backing::Huge, true, &["huge pages this host can give", "--vram"]);
    assert_eq!(host.pool(), before);
}

#[test]
fn folios_that_the_host_does_not_allow_are_refused_with_the_file() {
    let _host = Host::alone().with_shmem(ShmemHuge::Advise);
    let file = "/sys/kernel/mm/transparent_hugepage/shmem_enabled";
    refused(VRAM, Backing::Thp, false, &[file, "is advise", "echo within_size >"]);
}

#[test]
fn sizes_that_do_not_fit_are_refused() {
    refused(VRAM + (1 << 20), Backing::Huge, false, &["no multiple of 2 MiB"]);
    refused(VRAM / 2, Backing::Huge, true, &["at least 32 MiB"]);
    refused(VRAM / 2, Backing::Thp, false, &["at least 32 MiB"]);
    refused(VRAM, Backing::Pages, true, &["--backing huge or auto only"]);
}
