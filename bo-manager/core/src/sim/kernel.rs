//! The kernel, as far as it matters: files of pages, page table entries, threads that wait.
//!
//! Everything is counted in pages of 4 KiB, whatever the objects think. Each method is one thing
//! that the real kernel does without interruption; a longer call is several of them.

use std::collections::BTreeMap;

use bo_units::ObjectId;

use crate::{Access, FaultKind, Protection};

mod threads;

pub(crate) use threads::{Access as Accessed, Aim, Doing, Thread, ThreadState};

/// What the simulated kernel moves at once.
pub(crate) const PAGE_BYTES: u64 = 4096;

/// What is in a page: two words, so that a lost half is seen.
pub(crate) type Words = [u32; 2];

/// One entry of a page table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pte {
    None,
    /// Nothing is mapped, but what will be is write-protected. Hole punching leaves it.
    Marker,
    Writable,
    Protected,
    /// Gives SIGBUS. Hole punching leaves it, too.
    Poisoned,
}

/// The memfd of one object.
#[derive(Debug)]
pub(crate) struct File {
    pages: Vec<Option<Words>>,
    in_ram: bool,
}

/// One mapping of a file in one process.
#[derive(Debug)]
pub(crate) struct Vma {
    pub(crate) process: usize,
    pub(crate) object: ObjectId,
    /// The page of the file that comes first.
    pub(crate) first: usize,
    pub(crate) access: Access,
    ptes: Vec<Pte>,
}

impl Vma {
    /// The entry for a page of the file.
    fn pte(&mut self, page: usize) -> Option<&mut Pte> {
        self.ptes.get_mut(page.checked_sub(self.first)?)
    }

    pub(crate) fn pages(&self) -> std::ops::Range<usize> {
        self.first..self.first + self.ptes.len()
    }
}

/// What one UFFDIO_CONTINUE of one page gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Continued {
    Done,
    /// EEXIST, which wakes nobody.
    Exists,
    /// EFAULT.
    Absent,
    /// ENOENT.
    NotMapped,
}

/// All processes share it.
#[derive(Debug, Default)]
pub(crate) struct Kernel {
    files: BTreeMap<ObjectId, File>,
    pub(crate) vmas: BTreeMap<u32, Vma>,
    vmas_ever: u32,
    pub(crate) threads: Vec<Thread>,
    store: BTreeMap<u64, Words>,
    vram_pages: u64,
    ram_pages: u64,
    /// Ranges are registered MINOR as well: a page that is in the file, and has no entry, faults.
    pub(crate) minor: bool,
}

impl Kernel {
    pub(crate) fn create(&mut self, object: ObjectId, pages: usize, in_ram: bool) {
        let file = File { pages: vec![None; pages], in_ram };
        assert!(self.files.insert(object, file).is_none(), "an id is given once");
    }

    pub(crate) fn file_pages(&self, object: ObjectId) -> usize {
        self.files[&object].pages.len()
    }

    pub(crate) fn populated(&self, object: ObjectId) -> usize {
        self.files[&object].pages.iter().flatten().count()
    }

    /// Bytes present in the files of VRAM-placed objects.
    pub(crate) fn vram_bytes(&self) -> u64 {
        self.vram_pages * PAGE_BYTES
    }

    /// Bytes present in the store.
    pub(crate) fn store_bytes(&self) -> u64 {
        self.store.len() as u64 * PAGE_BYTES
    }

    /// Bytes present in the files of RAM-placed objects.
    pub(crate) fn ram_bytes(&self) -> u64 {
        self.ram_pages * PAGE_BYTES
    }

    /// pread: a hole reads as zeros and stays one.
    pub(crate) fn read(&self, object: ObjectId, page: usize) -> Option<Words> {
        self.files[&object].pages[page]
    }

    /// pwrite of one page, or fallocate.
    pub(crate) fn write(&mut self, object: ObjectId, page: usize, words: Option<Words>) {
        let file = self.files.get_mut(&object).expect("files outlive their objects");
        let count = if file.in_ram { &mut self.ram_pages } else { &mut self.vram_pages };
        let slot = &mut file.pages[page];
        match (slot.is_some(), words.is_some()) {
            (false, true) => *count += 1,
            (true, false) => *count -= 1,
            (true, true) | (false, false) => {}
        }
        *slot = words;
    }

    /// Frees a page and zaps its entries in every process. Markers stay.
    pub(crate) fn punch(&mut self, object: ObjectId, page: usize) {
        self.write(object, page, None);
        for vma in self.vmas.values_mut().filter(|vma| vma.object == object) {
            let Some(pte) = vma.pte(page) else { continue };
            *pte = match *pte {
                Pte::Writable | Pte::None => Pte::None,
                Pte::Protected | Pte::Marker => Pte::Marker,
                Pte::Poisoned => Pte::Poisoned,
            };
        }
    }

    pub(crate) fn store_read(&self, offset: u64) -> Words {
        self.store.get(&(offset / PAGE_BYTES)).copied().unwrap_or_default()
    }

    pub(crate) fn store_write(&mut self, offset: u64, words: Words) {
        self.store.insert(offset / PAGE_BYTES, words);
    }

    pub(crate) fn store_punch(&mut self, offset: u64) {
        self.store.remove(&(offset / PAGE_BYTES));
    }

    /// mmap and register.
    pub(crate) fn map(
        &mut self,
        process: usize,
        object: ObjectId,
        pages: std::ops::Range<usize>,
        access: Access,
    ) -> u32 {
        self.vmas_ever += 1;
        let ptes = vec![Pte::None; pages.len()];
        let vma = Vma { process, object, first: pages.start, access, ptes };
        self.vmas.insert(self.vmas_ever, vma);
        self.vmas_ever
    }

    /// munmap: who still runs there dies of it, one thread at a time.
    pub(crate) fn unmap(&mut self, vma: u32) {
        self.vmas.remove(&vma);
        for thread in &mut self.threads {
            if thread.aim().is_some_and(|aim| aim.vma == vma) {
                thread.state = ThreadState::Idle;
            }
        }
    }

    /// UFFDIO_CONTINUE of one page. Wakes its waiters, unless it was there.
    pub(crate) fn install(&mut self, vma: u32, page: usize, how: Protection) -> Continued {
        let Some(entry) = self.vmas.get_mut(&vma) else { return Continued::NotMapped };
        let present = self.files[&entry.object].pages[page].is_some();
        let Some(pte) = entry.pte(page) else { return Continued::NotMapped };
        match *pte {
            Pte::Writable | Pte::Protected | Pte::Poisoned => return Continued::Exists,
            Pte::None | Pte::Marker => {}
        }
        if !present {
            return Continued::Absent;
        }
        *pte = match how {
            Protection::Writable => Pte::Writable,
            Protection::WriteProtected => Pte::Protected,
        };
        self.wake(vma, page..page + 1);
        Continued::Done
    }

    /// UFFDIO_WRITEPROTECT of one page: also where there is none.
    pub(crate) fn protect(&mut self, vma: u32, page: usize) {
        let Some(pte) = self.vmas.get_mut(&vma).and_then(|vma| vma.pte(page)) else { return };
        *pte = match *pte {
            Pte::None | Pte::Marker => Pte::Marker,
            Pte::Writable | Pte::Protected => Pte::Protected,
            Pte::Poisoned => Pte::Poisoned,
        };
    }

    /// UFFDIO_WRITEPROTECT of one page with mode 0. Wakes its waiters.
    pub(crate) fn unprotect(&mut self, vma: u32, page: usize) {
        let Some(pte) = self.vmas.get_mut(&vma).and_then(|vma| vma.pte(page)) else { return };
        *pte = match *pte {
            Pte::None | Pte::Marker => Pte::None,
            Pte::Writable | Pte::Protected => Pte::Writable,
            Pte::Poisoned => Pte::Poisoned,
        };
        self.wake(vma, page..page + 1);
    }

    /// UFFDIO_POISON of one page, which refuses to overwrite even a marker; then wakes.
    pub(crate) fn poison(&mut self, vma: u32, page: usize) {
        let Some(pte) = self.vmas.get_mut(&vma).and_then(|vma| vma.pte(page)) else { return };
        if *pte == Pte::None {
            *pte = Pte::Poisoned;
        }
        self.wake(vma, page..page + 1);
    }

    /// UFFDIO_WAKE.
    pub(crate) fn wake(&mut self, vma: u32, pages: std::ops::Range<usize>) {
        for thread in &mut self.threads {
            thread.wake(vma, &pages);
        }
    }

    /// Whether an access would go through, and what it sees then.
    pub(crate) fn access(&mut self, aim: &Aim) -> Accessed {
        let Some(vma) = self.vmas.get_mut(&aim.vma) else { return Accessed::Segv };
        let write = matches!(aim.doing, Doing::Store(_));
        assert!(!write || vma.access == Access::ReadWrite, "a client stores where it may not");
        let file = self.files.get_mut(&vma.object).expect("files outlive their objects");
        let Some(pte) = vma.pte(aim.page) else { return Accessed::Segv };
        let Some(words) = &mut file.pages[aim.page] else {
            assert!(!matches!(pte, Pte::Writable | Pte::Protected), "a hole is mapped");
            let poisoned = *pte == Pte::Poisoned;
            return if poisoned { Accessed::Sigbus } else { Accessed::Faults(FaultKind::Missing) };
        };
        match *pte {
            Pte::Poisoned => return Accessed::Sigbus,
            Pte::None | Pte::Marker if self.minor => return Accessed::Faults(FaultKind::Missing),
            // The kernel maps what is in the file by itself, and tells nobody.
            Pte::None => *pte = Pte::Writable,
            Pte::Marker => *pte = Pte::Protected,
            Pte::Writable | Pte::Protected => {}
        }
        match aim.doing {
            Doing::Load => Accessed::Loaded(words[aim.word]),
            Doing::Store(_) if write && *pte == Pte::Protected => {
                Accessed::Faults(FaultKind::WriteProtected)
            }
            Doing::Store(value) => {
                words[aim.word] = value;
                Accessed::Stored
            }
        }
    }

    /// A thread that met a fault earlier goes to sleep, unless an entry has come meanwhile. It
    /// looks at the entry only: the page may be in the file by now.
    pub(crate) fn sleeps(&mut self, aim: &Aim, kind: FaultKind) -> bool {
        let Some(vma) = self.vmas.get_mut(&aim.vma) else { return false };
        match vma.pte(aim.page) {
            Some(Pte::None | Pte::Marker | Pte::Poisoned) => true,
            Some(Pte::Protected) => kind == FaultKind::WriteProtected,
            Some(Pte::Writable) | None => false,
        }
    }
}
