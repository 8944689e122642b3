//! Requests about whole objects: make, share, look at.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::{Arc, OnceLock};

use bo_core::{AllocRequest, Allocated};
use bo_sys::memfd::{self, DescriptorAccess};
use bo_units::{ByteCount, ObjectId, PageSize};
use bo_wire::{Access, InvalidKind, LimitKind, ObjectStat, Placement, Refusal, Reply, Token};
use parking_lot::Mutex;

use crate::session::requests::{access_of, placement_of, placement_shown};
use crate::session::{Answer, Connection, refusal};
use crate::tables::{ObjectEntry, Session};

impl Connection {
    pub(super) fn allocate(
        &self,
        session: &Session,
        bytes: u64,
        page_bytes: Option<u32>,
        placement: Placement,
        label: &str,
    ) -> Result<Answer, Refusal> {
        let page_size = match page_bytes {
            Some(bytes) => Some(
                PageSize::new(u64::from(bytes))
                    .map_err(|_| Refusal::Invalid(InvalidKind::PageSize))?,
            ),
            None => self.shell.config.page_size,
        };
        let request = AllocRequest {
            bytes: ByteCount::new(bytes),
            page_size,
            placement: placement_of(placement),
            label: label.to_owned(),
        };
        let made = self.promise(session, &request)?;
        let descriptor = self.open_file(label, made);
        let descriptor = descriptor.inspect_err(|_| {
            // The promise is taken back: nobody has heard of it.
            let released =
                self.shell.decide(|core, now| core.release(now, session.id, made.object));
            assert!(released.is_ok(), "the object was made a moment ago for this client");
        })?;
        let reply = Reply::Allocated {
            object: made.object.to_u64(),
            bytes: made.bytes.get(),
            page_bytes: wire_bytes(made.page_size),
            placement: placement_shown(made.placement),
        };
        Ok(Answer { reply, descriptor: Some(descriptor) })
    }

    /// Asks the core for an object. To clear RAM for it takes several steps; others cannot fill it
    /// as fast again, since what they bring in is copied.
    fn promise(&self, session: &Session, request: &AllocRequest) -> Result<Allocated, Refusal> {
        let shell = &self.shell;
        let made = loop {
            let step = shell.decide_in_turn(|core, _| match core.prepare(request) {
                true => None,
                false => Some(core.allocate(session.id, request)),
            });
            if let Some(made) = step {
                break made;
            }
        };
        made.map_err(|refused| match (refused, shell.budget.descriptors) {
            (bo_core::Refusal::ObjectLimit(_), Some(limit)) if shell.budget.is_short() => {
                Refusal::Limit { what: LimitKind::Descriptors, limit }
            }
            (refused, Some(_) | None) => refusal::of(refused),
        })
    }

    /// Makes the file behind an object. The descriptor is the client's.
    fn open_file(&self, label: &str, made: Allocated) -> Result<OwnedFd, Refusal> {
        let Allocated { object: id, bytes, page_size, placement } = made;
        let printable: String =
            label.chars().filter(|each| each.is_ascii_graphic()).take(64).collect();
        let backed = &self.shell.backed;
        let made = backed.create_file(&printable, bytes, page_size, placement);
        let made = made.and_then(|(file, by_window)| {
            let descriptor = file.try_clone_fd()?;
            let identity = file.identity()?;
            let (window, tokens) = (OnceLock::new(), Mutex::default());
            let entry = ObjectEntry { id, file, page_size, by_window, window, tokens };
            Ok((entry, descriptor, identity))
        });
        let (entry, descriptor, identity) = made.map_err(|error| self.no_file(&error))?;
        self.shell.objects.insert(id, Arc::new(entry));
        self.shell.files.insert(identity, id);
        Ok(descriptor)
    }

    fn no_file(&self, error: &std::io::Error) -> Refusal {
        self.shell.host_failed("make the file of an object", error);
        match rustix::io::Errno::from_io_error(error) {
            Some(rustix::io::Errno::MFILE | rustix::io::Errno::NFILE) => {
                let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
                Refusal::Limit { what: LimitKind::Descriptors, limit: limit.unwrap_or(u64::MAX) }
            }
            Some(_) | None => Refusal::Host,
        }
    }

    pub(super) fn export(
        &self,
        session: &Session,
        id: ObjectId,
        access: Access,
    ) -> Result<Answer, Refusal> {
        let held = self.shell.lock().access(session.id, id).map_err(refusal::of)?;
        let wanted = access_of(access);
        if wanted > held {
            return Err(Refusal::ReadOnly);
        }
        let object = self.shell.object(id).ok_or(Refusal::Gone)?;
        let token = self.token(&object, wanted)?;
        let descriptor = self.descriptor(&object, access)?;
        Ok(Answer { reply: Reply::Exported { token }, descriptor: Some(descriptor) })
    }

    fn token(&self, object: &ObjectEntry, access: bo_core::Access) -> Result<Token, Refusal> {
        let mut tokens = object.tokens.lock();
        if let Some(token) = tokens.get(&access) {
            return Ok(*token);
        }
        let mut bytes = [0; 16];
        if let Err(error) = getrandom::fill(&mut bytes) {
            self.shell.host_failed("make a token", &std::io::Error::other(error.to_string()));
            return Err(Refusal::Host);
        }
        let token = Token::from_bytes(bytes);
        tokens.insert(access, token);
        self.shell.tokens.insert(token, (object.id, access));
        Ok(token)
    }

    /// A descriptor with exactly this access, which the kernel holds its owner to.
    fn descriptor(&self, object: &ObjectEntry, access: Access) -> Result<OwnedFd, Refusal> {
        let opened = match access {
            Access::ReadWrite => object.file.try_clone_fd(),
            Access::ReadOnly => object.file.reopen(true),
        };
        opened.map_err(|error| self.no_file(&error))
    }

    pub(super) fn import_token(
        &self,
        session: &Session,
        token: Token,
        access: Access,
    ) -> Result<Answer, Refusal> {
        let (id, granted) = *self.shell.tokens.get(&token).ok_or(Refusal::Gone)?;
        self.import(session, id, granted, access)
    }

    /// A descriptor of the object's own file is proof enough, for as much as it can do itself.
    pub(super) fn import_descriptor(
        &self,
        session: &Session,
        descriptor: BorrowedFd<'_>,
        access: Access,
    ) -> Result<Answer, Refusal> {
        let identified = memfd::identify(descriptor);
        let (identity, can) = identified.map_err(|_| Refusal::Invalid(InvalidKind::Descriptor))?;
        let granted = match can {
            DescriptorAccess::ReadWrite => bo_core::Access::ReadWrite,
            DescriptorAccess::ReadOnly => bo_core::Access::ReadOnly,
            DescriptorAccess::Other => return Err(Refusal::Invalid(InvalidKind::Descriptor)),
        };
        let id = *self.shell.files.get(&identity).ok_or(Refusal::Gone)?;
        self.import(session, id, granted, access)
    }

    fn import(
        &self,
        session: &Session,
        id: ObjectId,
        granted: bo_core::Access,
        access: Access,
    ) -> Result<Answer, Refusal> {
        let wanted = access_of(access);
        if wanted > granted {
            return Err(Refusal::ReadOnly);
        }
        let object = self.shell.object(id).ok_or(Refusal::Gone)?;
        let descriptor = self.descriptor(&object, access)?;
        let view = self.shell.decide(|core, _| {
            core.hold(session.id, id, wanted)?;
            core.object_view(id).ok_or(bo_core::Refusal::Gone)
        });
        let view = view.map_err(refusal::of)?;
        let reply = Reply::Imported {
            object: id.to_u64(),
            bytes: view.bytes,
            page_bytes: wire_bytes(object.page_size),
            placement: placement_shown(view.placement),
            access,
        };
        Ok(Answer { reply, descriptor: Some(descriptor) })
    }

    pub(super) fn stat(&self, session: &Session, id: ObjectId) -> Result<Reply, Refusal> {
        let core = self.shell.lock();
        core.access(session.id, id).map_err(refusal::of)?;
        let view = core.object_view(id).ok_or(Refusal::Gone)?;
        Ok(Reply::Stat(ObjectStat {
            total_bytes: view.bytes,
            resident_bytes: view.resident_bytes,
            stored_bytes: view.stored_bytes,
            faults: view.stats.faults,
            refaults: view.stats.refaults,
            evictions: view.stats.evictions,
            holders: view.holders,
            mappings: view.mappings,
        }))
    }
}

fn wire_bytes(page_size: PageSize) -> u32 {
    u32::try_from(page_size.bytes()).expect("a page has at most 2 MiB")
}
