//! Who may make calls that change something.
//!
//! On the control socket: the daemon's own user and root, as the kernel names them. On the TCP
//! listener: nobody, unless the operator has given the daemon a token, and then who shows it.

use std::fmt;
use std::hint::black_box;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, ensure};
use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::header;
use axum::middleware::Next;
use axum::response::Response;
use axum::serve::IncomingStream;
use tokio::net::UnixStream;

use crate::http::failure::Failure;
use crate::http::listen::ControlListener;

/// Shorter ones can be guessed.
const TOKEN_BYTES_MIN: usize = 16;

/// Longer ones are a mistake.
const TOKEN_BYTES_MAX: u64 = 4096;

/// What a caller must show.
#[derive(Debug, Clone)]
pub(crate) enum Door {
    /// Over TCP, a token; `None`: nobody gets in. There may be a control socket for them.
    Token(Option<Arc<Token>>, Option<PathBuf>),
    /// Over the control socket: to be this user, or root.
    Owner(u32),
}

/// A secret that callers have to know.
pub(crate) struct Token(Vec<u8>);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

impl Token {
    /// Reads it from a file that nobody else can read.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let shown = path.display();
        let found = || format!("cannot read the token in {shown}");
        let about = std::fs::metadata(path).with_context(found)?;
        ensure!(
            about.mode() & 0o077 == 0,
            "others may read or write {shown}, so its token is no secret: chmod 600 {shown}"
        );
        ensure!(about.len() <= TOKEN_BYTES_MAX, "{shown} is too long for a token");
        let text = std::fs::read_to_string(path).with_context(found)?;
        let token = text.trim();
        ensure!(
            TOKEN_BYTES_MIN <= token.len(),
            "the token in {shown} is too short, at least {TOKEN_BYTES_MIN} characters: \
             openssl rand -hex 32 > {shown}"
        );
        ensure!(
            token.bytes().all(|byte| byte.is_ascii_graphic()),
            "the token in {shown} has characters that no header can carry: openssl rand -hex 32"
        );
        Ok(Self(token.as_bytes().to_vec()))
    }

    /// Whether `shown` is the token. The time that takes says nothing of where they differ; it
    /// does tell how long the token is, which is no secret.
    fn is(&self, shown: &[u8]) -> bool {
        let differences = self.0.iter().zip(shown).fold(0, |sum, (own, other)| {
            // So that no compiler sees that one difference is enough.
            black_box(sum | (own ^ other))
        });
        self.0.len() == shown.len() && black_box(differences) == 0
    }
}

/// The user at the other end of a control connection; `None` over TCP.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) Option<u32>);

impl Connected<IncomingStream<'_, ControlListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, ControlListener>) -> Self {
        user_of(stream.io())
    }
}

fn user_of(stream: &UnixStream) -> Peer {
    Peer(stream.peer_cred().ok().map(|peer| peer.uid()))
}

impl Door {
    fn admits(&self, peer: Peer, shown: Option<&[u8]>) -> Result<(), Failure> {
        match self {
            Self::Owner(owner) => match peer.0 {
                Some(user) if user == *owner || user == 0 => Ok(()),
                Some(_) | None => Err(Failure::forbidden(
                    "only the user that runs the daemon, and root, may change anything",
                )),
            },
            Self::Token(Some(token), _) => {
                let bearer = shown.and_then(|shown| shown.strip_prefix(b"Bearer "));
                match bearer.is_some_and(|bearer| token.is(bearer)) {
                    true => Ok(()),
                    false => Err(Failure::forbidden(
                        "this call needs the token of the daemon's --http-token-file, as a header \
                         'Authorization: Bearer TOKEN'",
                    )),
                }
            }
            Self::Token(None, control) => {
                let control = control.as_ref().map_or_else(String::new, |control| {
                    format!("make it on the control socket, {}, or ", control.display())
                });
                Err(Failure::forbidden(format!(
                    "nothing can be changed here: {control}start the daemon with --http-token-file"
                )))
            }
        }
    }
}

/// Lets those through who may.
pub(crate) async fn admit(
    State(door): State<Door>,
    request: Request,
    next: Next,
) -> Result<Response, Failure> {
    let peer = request.extensions().get::<ConnectInfo<Peer>>().map_or(Peer(None), |peer| peer.0);
    let shown = request.headers().get(header::AUTHORIZATION).map(|value| value.as_bytes());
    door.admits(peer, shown)?;
    Ok(next.run(request).await)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn token() -> Token {
        Token(b"0123456789abcdef".to_vec())
    }

    #[test]
    fn only_the_whole_token_is_the_token() {
        assert!(token().is(b"0123456789abcdef"));
        for other in ["", "0123456789abcdeX", "X123456789abcdef", "0123456789abcdef0", "0123"] {
            assert!(!token().is(other.as_bytes()), "{other}");
        }
        assert_eq!(format!("{:?}", token()), "Token(..)");
    }

    #[test]
    fn over_tcp_nobody_gets_in_without_a_token() {
        let shut = Door::Token(None, None);
        assert!(shut.admits(Peer(Some(0)), Some(b"Bearer 0123456789abcdef")).is_err());
        let door = Door::Token(Some(Arc::new(token())), None);
        assert!(door.admits(Peer(None), Some(b"Bearer 0123456789abcdef")).is_ok());
        for shown in [None, Some(&b"0123456789abcdef"[..]), Some(b"Bearer x"), Some(b"Basic x")] {
            assert!(door.admits(Peer(Some(0)), shown).is_err());
        }
    }

    #[test]
    fn over_the_socket_the_owner_and_root_get_in_and_nobody_else() {
        let door = Door::Owner(1000);
        assert!(door.admits(Peer(Some(1000)), None).is_ok());
        assert!(door.admits(Peer(Some(0)), None).is_ok());
        assert!(door.admits(Peer(Some(1001)), Some(b"Bearer 0123456789abcdef")).is_err());
        assert!(door.admits(Peer(None), None).is_err());
    }

    #[test]
    fn a_file_that_others_can_read_holds_no_secret() {
        let path = std::env::temp_dir().join(format!("bo-token-{}", std::process::id()));
        std::fs::write(&path, "0123456789abcdef\n").expect("there is room");
        let mode = |mode| {
            let permissions = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(&path, permissions).expect("it is ours");
        };
        mode(0o640);
        let error = Token::read(&path).expect_err("others may read it").to_string();
        assert!(error.contains("chmod 600"), "{error}");
        mode(0o600);
        assert!(Token::read(&path).expect("a token").is(b"0123456789abcdef"));
        std::fs::write(&path, "short").expect("there is room");
        let error = Token::read(&path).expect_err("too short").to_string();
        assert!(error.contains("openssl rand"), "{error}");
        std::fs::remove_file(&path).expect("it is there");
    }
}
