//! Why an order could not be carried out, in words that cross a pipe.

use std::io;

use crate::order::{Answer, Refused};

/// Why an order was not carried out.
pub(crate) enum Problem {
    Refused(bo_client::Error),
    Host(io::Error),
    Nonsense(&'static str),
}

impl From<bo_client::Error> for Problem {
    fn from(error: bo_client::Error) -> Problem {
        Problem::Refused(error)
    }
}

impl From<io::Error> for Problem {
    fn from(error: io::Error) -> Problem {
        Problem::Host(error)
    }
}

impl From<rustix::io::Errno> for Problem {
    fn from(errno: rustix::io::Errno) -> Problem {
        Problem::Host(errno.into())
    }
}

impl From<Problem> for Answer {
    fn from(problem: Problem) -> Answer {
        match problem {
            Problem::Refused(error) => Answer::Refused(refused(&error)),
            Problem::Host(error) => Answer::Failed(error.to_string()),
            Problem::Nonsense(what) => Answer::Failed(what.to_owned()),
        }
    }
}

fn refused(error: &bo_client::Error) -> Refused {
    let predicates = [
        ("is_out_of_memory", error.is_out_of_memory()),
        ("is_never_fits", error.is_never_fits()),
        ("is_quota", error.is_quota()),
        ("is_gone", error.is_gone()),
        ("is_protocol", error.is_protocol()),
        ("is_unsupported", error.is_unsupported()),
        ("is_invalid", error.is_invalid()),
        ("is_permission", error.is_permission()),
        ("is_draining", error.is_draining()),
        ("is_timeout", error.is_timeout()),
        ("is_suspended", error.is_suspended()),
    ];
    let held = predicates.into_iter().filter(|(_, holds)| *holds);
    let predicates = held.map(|(name, _)| name.to_owned()).collect();
    Refused { message: error.to_string(), predicates }
}
