//! Where the daemon listens, unless one is told otherwise.

use std::ffi::OsString;
use std::path::PathBuf;

/// Where the daemon listens by default: `$BO_SOCKET`, else `$XDG_RUNTIME_DIR/bo-manager.sock`,
/// else `/run/bo-manager.sock`. Empty variables count as not set.
#[must_use]
pub fn default_socket_path() -> PathBuf {
    choose(std::env::var_os("BO_SOCKET"), std::env::var_os("XDG_RUNTIME_DIR"))
}

fn choose(explicit: Option<OsString>, runtime_dir: Option<OsString>) -> PathBuf {
    let is_set = |value: &OsString| !value.is_empty();
    match (explicit.filter(is_set), runtime_dir.filter(is_set)) {
        (Some(path), _) => PathBuf::from(path),
        (None, Some(dir)) => PathBuf::from(dir).join("bo-manager.sock"),
        (None, None) => PathBuf::from("/run/bo-manager.sock"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(explicit: Option<&str>, runtime_dir: Option<&str>, expected: &str) {
        let chosen = choose(explicit.map(OsString::from), runtime_dir.map(OsString::from));
        assert_eq!(chosen, PathBuf::from(expected));
    }

    #[test]
    fn the_most_explicit_wish_wins() {
        check(Some("/tmp/mine"), Some("/run/user/7"), "/tmp/mine");
        check(None, Some("/run/user/7"), "/run/user/7/bo-manager.sock");
        check(None, None, "/run/bo-manager.sock");
    }

    #[test]
    fn an_empty_variable_cannot_be_a_wish() {
        check(Some(""), Some("/run/user/7"), "/run/user/7/bo-manager.sock");
        check(Some(""), Some(""), "/run/bo-manager.sock");
    }
}
