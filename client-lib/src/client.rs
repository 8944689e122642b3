//! A connection to the daemon, as the program sees it.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use bo_units::{ByteCount, PageSize};
use bo_wire::{Access, Reply, Request};

use crate::alloc::AllocSpec;
use crate::builder::ClientBuilder;
use crate::connection::Connection;
use crate::error::{Cause, Doing, Error};
use crate::export::Importable;
use crate::handle::{Grant, Handle};
use crate::object::Object;

/// A connection to the daemon. Cheap to clone; clones share the connection.
///
/// Objects and mappings keep the connection alive, so a client may be dropped before them. It is
/// used by one process only: after fork(2) the child connects anew, and finds none of its parent's
/// mappings in its memory.
///
/// # Example
///
/// ```no_run
/// use bo_client::{AllocSpec, Client};
///
/// let client = Client::connect(bo_client::default_socket_path())?;
/// let object = client.allocate(AllocSpec::new(1 << 20).label("scratch"))?;
/// let mapping = object.map()?;
/// mapping.write_at(4096, b"hello")?;
/// # Ok::<(), bo_client::Error>(())
/// ```
#[derive(Clone)]
pub struct Client {
    connection: Arc<Connection>,
}

impl Client {
    pub(crate) fn new(connection: Arc<Connection>) -> Client {
        Client { connection }
    }

    /// Connects to the daemon that listens at `path`, with every option left as it is.
    ///
    /// # Errors
    ///
    /// As [`ClientBuilder::connect`].
    pub fn connect(path: impl AsRef<Path>) -> Result<Client, Error> {
        Client::builder().connect(path)
    }

    /// Options of a connection, to be set before connecting.
    pub fn builder() -> ClientBuilder {
        ClientBuilder::new()
    }

    /// The number by which operators know this client.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.connection.welcome.client
    }

    /// How much of all objects together can be resident at once.
    #[must_use]
    pub fn vram_capacity(&self) -> ByteCount {
        self.connection.welcome.vram
    }

    /// How much system RAM there is for what is not in VRAM.
    #[must_use]
    pub fn ram_capacity(&self) -> ByteCount {
        self.connection.welcome.ram
    }

    /// The page size of objects that wish for none, or `None` if it depends on their size.
    #[must_use]
    pub fn default_page_size(&self) -> Option<PageSize> {
        self.connection.welcome.page_size_default
    }

    /// Makes an object. Every byte of it reads as zero until it is written.
    ///
    /// The whole size is promised here, so no later access can fail for want of memory.
    ///
    /// An object takes one descriptor of this process for as long as it lives, mapped or not. A
    /// process that holds very many of them raises its RLIMIT_NOFILE first; the hard limit of many
    /// systems is 524288. The number of mappings is bounded by the sysctl `vm.max_map_count`,
    /// usually 65530.
    ///
    /// # Errors
    ///
    /// An error that names RLIMIT_NOFILE if this process has no descriptor left: the object is
    /// given back then. [`Error::is_quota`] is about the daemon's limits.
    ///
    /// [`Error::is_out_of_memory`], [`Error::is_never_fits`], [`Error::is_quota`],
    /// [`Error::is_invalid`] for a size of zero, [`Error::is_draining`], [`Error::is_gone`].
    pub fn allocate(&self, spec: AllocSpec) -> Result<Object, Error> {
        let handle = self.try_allocate(&spec);
        let handle = handle.map_err(|cause| cause.while_doing(Doing::Allocate(spec.bytes)))?;
        Ok(Object::new(handle, spec.bytes, spec.label))
    }

    fn try_allocate(&self, spec: &AllocSpec) -> Result<Handle, Cause> {
        let answer = self.connection.call(&spec.to_request())?;
        let Reply::Allocated { object, bytes, page_bytes, placement } = answer.reply else {
            return Err(self.connection.link().unexpected(&answer));
        };
        let access = Access::ReadWrite;
        let grant = Grant { object, bytes, page_bytes, placement, access };
        let bytes_asked = spec.bytes.get();
        if grant.bytes < bytes_asked {
            let cause = Cause::implausible("the object is smaller than what was asked for");
            return Err(self.connection.link().fail(cause));
        }
        Handle::take(&self.connection, grant, answer)
    }

    /// Takes a handle on an object that another process, or this one, has exported.
    ///
    /// `source` is a [`Token`](crate::Token), an [`ExportedObject`](crate::ExportedObject), or
    /// the descriptor of one, see
    /// [`ExportedObject::from_descriptor`](crate::ExportedObject::from_descriptor).
    ///
    /// # Errors
    ///
    /// [`Error::is_gone`] if no such object is exported (any more), [`Error::is_permission`] for
    /// writing where only reading was shared, [`Error::is_quota`], [`Error::is_draining`].
    ///
    /// # Example
    ///
    /// ```no_run
    /// use bo_client::{Access, Client, Token};
    ///
    /// let token: Token = std::env::args().nth(1).expect("a token").parse().expect("a token");
    /// let client = Client::builder().connect_default()?;
    /// let object = client.import(token, Access::ReadOnly)?;
    /// assert!(object.map()?.write_at(0, b"no").is_err());
    /// # Ok::<(), bo_client::Error>(())
    /// ```
    pub fn import(&self, source: impl Into<Importable>, access: Access) -> Result<Object, Error> {
        let handle = self.try_import(source.into(), access);
        let handle = handle.map_err(|cause| cause.while_doing(Doing::Import))?;
        let size = handle.size();
        Ok(Object::new(handle, size, bo_wire::Label::default()))
    }

    fn try_import(&self, source: Importable, wanted: Access) -> Result<Handle, Cause> {
        let answer = match source {
            Importable::Token(token) => {
                self.connection.call(&Request::ImportToken { token, access: wanted })?
            }
            Importable::Descriptor(descriptor) => {
                let request = Request::ImportDescriptor { access: wanted };
                self.connection.call_with(&request, &descriptor)?
            }
        };
        let Reply::Imported { object, bytes, page_bytes, placement, access } = answer.reply else {
            return Err(self.connection.link().unexpected(&answer));
        };
        if access != wanted {
            let cause = Cause::implausible("the access granted is not the one asked for");
            return Err(self.connection.link().fail(cause));
        }
        let grant = Grant { object, bytes, page_bytes, placement, access };
        let handle = Handle::take(&self.connection, grant, answer)?;
        handle.mark_shared();
        Ok(handle)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("id", &self.id()).finish_non_exhaustive()
    }
}
