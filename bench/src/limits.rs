//! What this process may use.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Lets this process, and those it starts, open as many descriptors as the system grants.
///
/// Each object is a descriptor in its client and in the daemon; the usual soft limit of 1024
/// would end a run of many objects. A refusal is no error: small runs need few.
pub(crate) fn raise_descriptors() {
    let Rlimit { current: _, maximum } = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}
