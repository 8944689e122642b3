//! The harness of the end-to-end tests: real daemons, real client processes, the real kernel.
//!
//! A story (a test in `e2e/`) is told with three kinds of things:
//!
//! - [`Station`]: one daemon with a small pool, so that eviction never ends, and a directory for
//!   its socket. [`Station::embedded`] runs it in the test's process; [`Station::process`] runs
//!   the real binary, which can be stopped, killed, and whose descriptors can be counted.
//! - [`Actor`]: one client process, of root or of nobody ([`User`]). It does what an [`Order`]
//!   says and gives an [`Answer`]. [`Actor::ask`] waits for it; [`Actor::spawn`] lets a thread of
//!   the actor do it, so that the story goes on while that thread is blocked in a fault.
//! - [`Books`]: what the daemon says over HTTP. [`Station::wait_until`] polls them.
//!
//! ```text
//! bo_tests::by_each_user! {
//!     fn a_page_comes_back_with_its_bytes(user) {
//!         let station = Station::embedded(&PROGRAMS, Pool::kib(256));
//!         let actor = station.client(user);                       // spawned and connected
//!         let object = actor.allocate(1 << 20);                   // four times the pool
//!         let mapping = actor.map(object);
//!         actor.fill(mapping, SEED);                              // evicts all the while
//!         actor.check(mapping, SEED);                             // panics at a wrong byte
//!     }
//! }
//! ```
//!
//! To add a story: write a file in `e2e/`, name it in `e2e/main.rs`. To add something that an
//! actor can do: a variant of [`Order`], and an arm where `play.rs` performs it. What needs unsafe
//! code goes to [`raw`], and nowhere else.
//!
//! Rules: a missing kernel feature fails a test, it never skips one. Nothing waits by sleeping for
//! a length of time: conditions are polled, with a deadline ([`until`]) that is far beyond what
//! any machine needs. Time is measured and printed, and never what a test passes by.
//! Every process of the harness dies with the thread of the test that started it.

#![deny(unsafe_code)]

mod abuse;
mod actor;
mod books;
mod control;
mod host;
mod memory;
mod order;
mod pattern;
mod play;
mod problem;
pub mod raw;
mod rough;
mod station;
mod storm;
mod syscalls;
mod wait;

pub use abuse::{Abuse, RawClient};
pub use actor::{Actor, Slot, Task, User};
pub use books::Books;
pub use control::{Control, post_over_tcp};
pub use host::Host;
pub use order::{
    Answer, Census, Checked, Ended, Lost, Order, Peeked, Refused, Rounds, SystemCall, Tally,
};
pub use pattern::page as pattern_page;
pub use play::Player;
pub use station::{Pool, Programs, Station, backing, scale};
pub use wait::{DEADLINE, until};

/// The kernel's page size, which is also that of the objects here unless a story says otherwise.
pub const PAGE: u64 = bo_sys::KERNEL_PAGE_BYTES;

/// The same, for indexing.
pub const PAGE_LEN: usize = 4096;

const _: () = assert!(PAGE_LEN as u64 == PAGE);

/// Tells one story twice: its clients are root's, then nobody's.
///
/// `fn name(user) { … }` becomes the tests `name::by_root` and `name::by_nobody`.
#[macro_export]
macro_rules! by_each_user {
    ($($(#[$attribute:meta])* fn $name:ident($user:ident) $body:block)+) => {$(
        mod $name {
            #[allow(unused_imports, reason = "a short story may need nothing")]
            use super::*;

            $(#[$attribute])*
            fn story($user: $crate::User) $body

            #[test]
            fn by_root() {
                story($crate::User::Root);
            }

            #[test]
            fn by_nobody() {
                story($crate::User::Nobody);
            }
        }
    )+};
}
