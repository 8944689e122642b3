//! What one process hands to another, so that both have the same object.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use bo_wire::{Access, Token};

/// An object that other processes may import: by a token, or by a descriptor.
///
/// A token is a secret that can be written down; a descriptor goes over a Unix socket
/// (`SCM_RIGHTS`) and cannot be guessed, copied out of a log or outlive its last holder. Both give
/// the access that was exported, and no more. Dropping this value takes neither back.
#[derive(Debug)]
pub struct ExportedObject {
    token: Token,
    descriptor: OwnedFd,
    access: Access,
}

impl ExportedObject {
    pub(crate) fn new(token: Token, descriptor: OwnedFd, access: Access) -> ExportedObject {
        ExportedObject { token, descriptor, access }
    }

    /// The secret. Whoever has it can import the object.
    #[must_use]
    pub fn token(&self) -> Token {
        self.token
    }

    /// The most that an importer may do.
    #[must_use]
    pub fn access(&self) -> Access {
        self.access
    }

    /// The descriptor, to be sent to another process.
    ///
    /// It is there to import by, and not to be mapped, read or written: who touches pages that the
    /// daemon does not watch turns evicted ones into zeros, for everybody.
    #[must_use]
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }

    /// The descriptor alone. The token stays good.
    #[must_use]
    pub fn into_descriptor(self) -> OwnedFd {
        self.descriptor
    }

    /// What another process sent, as something that [`Client::import`](crate::Client::import)
    /// takes.
    #[must_use]
    pub fn from_descriptor(descriptor: OwnedFd) -> Importable {
        Importable::Descriptor(descriptor)
    }
}

/// What an object can be imported by.
#[derive(Debug)]
pub enum Importable {
    /// The secret of an [`ExportedObject`].
    Token(Token),
    /// The descriptor of an [`ExportedObject`].
    Descriptor(OwnedFd),
}

impl From<Token> for Importable {
    fn from(token: Token) -> Importable {
        Importable::Token(token)
    }
}

impl From<OwnedFd> for Importable {
    fn from(descriptor: OwnedFd) -> Importable {
        Importable::Descriptor(descriptor)
    }
}

impl From<ExportedObject> for Importable {
    /// By descriptor.
    fn from(exported: ExportedObject) -> Importable {
        Importable::Descriptor(exported.descriptor)
    }
}
