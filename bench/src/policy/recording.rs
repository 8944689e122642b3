//! Recordings of a daemon: `bo-manager serve --record`. The format is in [`bo_core::journal`].

use std::fs::File;
use std::io::{BufReader, ErrorKind, Read};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use bo_core::journal::{Event, FillCause, HEADER_BYTES, Header, RECORD_BYTES, Record, What};
use bo_units::{ObjectId, Tick};
use rustc_hash::FxHashMap;

use crate::policy::trace::{Access, Free, Kind, OBJECT_PAGES_MAX, Place, Recorded, Shape, Trace};

/// Reads a recording, up to `limit` faults. What is left of a record whose writer was killed is
/// not read, and counted.
///
/// # Errors
///
/// If it cannot be read, is damaged, or nobody faulted in it.
pub(crate) fn read(file: File, path: &Path, limit: usize) -> Result<Trace> {
    let shown = path.display();
    let mut file = BufReader::with_capacity(1 << 20, file);
    let mut header = [0; HEADER_BYTES];
    file.read_exact(&mut header)
        .with_context(|| format!("{shown} is a recording that ends before its header does"))?;
    let header = Header::decode(&header)
        .with_context(|| format!("{shown} is a recording that cannot be read here"))?;
    let mut reader = Reader::new(&header);
    let mut bytes = [0; RECORD_BYTES];
    let mut at = 0_u64;
    while reader.accesses.len() < limit {
        match read_record(&mut file, &mut bytes).with_context(|| format!("cannot read {shown}"))? {
            RECORD_BYTES => {}
            rest => {
                reader.recorded.cut_bytes = crate::sizes::as_u64(rest);
                break;
            }
        }
        let record = Record::decode(&bytes)
            .with_context(|| format!("{shown} is damaged: record {at} cannot be read"))?;
        reader.add(&record).with_context(|| format!("{shown} is damaged at record {at}"))?;
        at += 1;
    }
    ensure!(
        !reader.accesses.is_empty(),
        "{shown} has no fault in it: nobody touched anything while it was recorded"
    );
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    Ok(reader.finish(name))
}

/// As many bytes of the next record as there are.
fn read_record(file: &mut impl Read, bytes: &mut [u8; RECORD_BYTES]) -> std::io::Result<usize> {
    let mut len = 0;
    while len < RECORD_BYTES {
        match file.read(&mut bytes[len..]) {
            Ok(0) => break,
            Ok(more) => len += more,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(len)
}

struct Reader {
    recorded: Recorded,
    span: Option<(Tick, Tick)>,
    objects: FxHashMap<ObjectId, u32>,
    numbers: FxHashMap<Place, u32>,
    accesses: Vec<Access>,
    frees: Vec<Free>,
    shapes: Vec<Shape>,
    places: Vec<Place>,
}

impl Reader {
    fn new(header: &Header) -> Reader {
        let recorded = Recorded {
            policy: header.policy.clone(),
            pool_bytes: header.pool.get(),
            faults: 0,
            misses: 0,
            filled_ahead: 0,
            evictions: 0,
            freed: 0,
            lost: 0,
            cut_bytes: 0,
            seconds: 0.0,
        };
        Reader {
            recorded,
            span: None,
            objects: FxHashMap::default(),
            numbers: FxHashMap::default(),
            accesses: Vec::new(),
            frees: Vec::new(),
            shapes: Vec::new(),
            places: Vec::new(),
        }
    }

    fn add(&mut self, record: &Record) -> Result<()> {
        let event = match record {
            Record::Lost { events, .. } => {
                self.recorded.lost += events;
                return Ok(());
            }
            Record::Event(event) => event,
        };
        ensure!(event.pages.end().get() <= OBJECT_PAGES_MAX, "no object has so many pages");
        let (first, last) = self.span.unwrap_or((event.at, event.at));
        self.span = Some((first.min(event.at), last.max(event.at)));
        let pages = u64::from(event.pages.count().get());
        match event.what {
            What::Fault { write, .. } => {
                ensure!(pages == 1, "a fault is on one page");
                self.recorded.faults += 1;
                self.access(event, write)?;
            }
            What::Filled(FillCause::Demand) => self.recorded.misses += pages,
            What::Filled(_) => self.recorded.filled_ahead += pages,
            What::Evicted { .. } => self.recorded.evictions += pages,
            What::Freed => {
                self.recorded.freed += 1;
                let before = self.accesses.len();
                let object = self.objects.remove(&event.object);
                self.frees.extend(object.map(|object| Free { before, object }));
            }
        }
        Ok(())
    }

    fn access(&mut self, event: &Event, write: bool) -> Result<()> {
        let page = event.pages.first().get();
        let next = u32::try_from(self.shapes.len()).context("objects without number")?;
        let object = *self.objects.entry(event.object).or_insert(next);
        if object == next {
            self.shapes.push(Shape { pages: 0, page_size: event.page_size });
        }
        let shape = &mut self.shapes[object as usize];
        ensure!(shape.page_size == event.page_size, "the pages of an object are all of one size");
        shape.pages = shape.pages.max(page + 1);
        let place = Place { object, page };
        let next = u32::try_from(self.places.len()).context("pages without number")?;
        ensure!(next < 1 << 31, "pages are at most 2^31");
        let number = *self.numbers.entry(place).or_insert(next);
        if number == next {
            self.places.push(place);
        }
        self.accesses.push(Access::new(number, write));
        Ok(())
    }

    fn finish(self, name: String) -> Trace {
        let Reader { mut recorded, span, accesses, frees, shapes, places, .. } = self;
        recorded.seconds =
            span.map_or(0.0, |(first, last)| last.saturating_since(first).as_secs_f64());
        Trace { name, kind: Kind::Recording(recorded), accesses, frees, shapes, places }
    }
}

#[cfg(test)]
mod tests {
    use bo_core::FaultKind;
    use bo_units::{ByteCount, PageCount, PageIndex, PageRange, PageSize};

    use super::*;

    fn header() -> Vec<u8> {
        let (page_size, fault_around) = (None, ByteCount::ZERO);
        let policy = "lru".to_owned();
        let header =
            Header { pool: ByteCount::mib(1), page_size, fault_around, started: 0, policy };
        header.encode().to_vec()
    }

    fn event(what: What, object: u32, first: u32, count: u32) -> [u8; RECORD_BYTES] {
        let pages = PageRange::checked_new(PageIndex::new(first), PageCount::new(count));
        let event = Event {
            at: Tick::from_nanos(u64::from(first) * 1_000_000_000),
            what,
            client: None,
            object: ObjectId::new(object, 0),
            page_size: PageSize::MIN,
            pages: pages.expect("few pages"),
        };
        Record::Event(event).encode()
    }

    const READ: What = What::Fault { write: false, kind: FaultKind::Missing };
    const WRITE: What = What::Fault { write: true, kind: FaultKind::WriteProtected };

    fn recording() -> Vec<u8> {
        let mut bytes = header();
        let demand = What::Filled(FillCause::Demand);
        for event in [
            event(READ, 7, 3, 1),
            event(demand, 7, 3, 1),
            event(What::Filled(FillCause::Around), 7, 4, 4),
            event(WRITE, 9, 0, 1),
            event(What::Evicted { background: true, clean: false }, 7, 3, 2),
            event(What::Freed, 7, 0, 8),
            Record::Lost { at: Tick::ZERO, events: 5 }.encode(),
            event(READ, 7, 3, 1),
        ] {
            bytes.extend(event);
        }
        bytes
    }

    fn read_back(bytes: &[u8]) -> Result<Trace, String> {
        let folder = tempfile::tempdir().expect("a place for a file");
        let path = folder.path().join("recording");
        std::fs::write(&path, bytes).expect("it is ours");
        read(File::open(&path).expect("it was made"), &path, usize::MAX)
            .map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn faults_are_accesses_and_the_rest_is_counted() {
        let trace = read_back(&recording()).expect("a recording");
        let recorded = trace.recorded().expect("it is one");
        assert_eq!((recorded.faults, recorded.misses, recorded.filled_ahead), (3, 1, 4));
        assert_eq!((recorded.evictions, recorded.freed, recorded.lost), (2, 1, 5));
        assert_eq!((recorded.cut_bytes, recorded.pool_bytes), (0, 1 << 20));
        assert!((recorded.seconds - 4.0).abs() < 1e-9);
        assert_eq!(trace.frees, [Free { before: 2, object: 0 }]);
        assert_eq!((trace.pages(), trace.writes()), (3, 1), "what was freed is another object");
        assert_eq!(trace.shapes.iter().map(|shape| shape.pages).collect::<Vec<_>>(), [4, 1, 4]);
    }

    #[test]
    fn a_recording_that_was_cut_off_reads_up_to_there() {
        let whole = recording();
        for cut in HEADER_BYTES + RECORD_BYTES..whole.len() {
            let trace = read_back(&whole[..cut]).expect("its first records are whole");
            let rest = (cut - HEADER_BYTES) % RECORD_BYTES;
            assert_eq!(trace.recorded().expect("it is one").cut_bytes, rest as u64);
        }
        for cut in 0..HEADER_BYTES + RECORD_BYTES {
            assert!(read_back(&whole[..cut]).is_err(), "there is no fault in {cut} bytes");
        }
    }

    #[test]
    fn a_damaged_recording_is_refused_with_the_place() {
        let mut bytes = recording();
        bytes[HEADER_BYTES + RECORD_BYTES] = 77;
        let error = read_back(&bytes).expect_err("no such event");
        assert!(error.contains("record 1"), "{error}");
    }
}
