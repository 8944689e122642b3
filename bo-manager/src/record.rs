//! The thread that writes the recording: what happened to pages, into a file.
//!
//! The core collects events under its lock; this thread takes them all at once, every so often, and
//! writes them outside of it. No fault ever waits for the file: when the disk is slower than the
//! faults the core's queue fills, and what does not fit is counted, in the file as well. The format
//! is in [`bo_core::journal`].

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use bo_core::Events;
use bo_core::journal::{Header, RECORD_BYTES, Record};
use parking_lot::{Condvar, Mutex};

use crate::config::Config;
use crate::limits::RECORD_EVERY;
use crate::shell::Shell;
use crate::worker;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    Nothing,
    Work,
    Stop,
}

/// How the writer is called.
#[derive(Debug)]
pub(crate) struct Recording {
    path: PathBuf,
    call: Mutex<Call>,
    rung: Condvar,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl Recording {
    /// The queue is half full.
    pub(crate) fn ring(&self) {
        let mut call = self.call.lock();
        if *call == Call::Nothing {
            *call = Call::Work;
            self.rung.notify_one();
        }
    }

    /// Lets the writer write what is left, and waits for its end.
    pub(crate) fn finish(&self) {
        self.stop();
        let writer = self.writer.lock().take();
        if writer.is_some_and(|writer| writer.join().is_err()) {
            tracing::error!("the writer of the recording had panicked");
        }
    }

    fn stop(&self) {
        *self.call.lock() = Call::Stop;
        self.rung.notify_one();
    }

    /// Waits for a call, but not for long; false when it is the last.
    fn wait(&self) -> bool {
        let mut call = self.call.lock();
        if *call == Call::Nothing {
            let _ = self.rung.wait_for(&mut call, RECORD_EVERY);
        }
        let last = *call == Call::Stop;
        if !last {
            *call = Call::Nothing;
        }
        !last
    }
}

/// A file for a recording, with nothing in it but the header.
#[derive(Debug)]
pub(crate) struct Tape {
    file: File,
    path: PathBuf,
}

impl Tape {
    /// Makes the file, for this user's eyes only, and begins it. One that exists must be empty:
    /// what was recorded before is not lost by starting again.
    ///
    /// # Errors
    ///
    /// If there is something in it, or it cannot be written.
    pub(crate) fn begin(path: &Path, config: &Config, policy: &str) -> anyhow::Result<Self> {
        let shown = path.display();
        match fs::metadata(path) {
            Ok(found) if found.file_type().is_fifo() => {
                bail!("{shown} is a pipe, whose reader could hold the daemon up: give a file")
            }
            Ok(found) if found.len() > 0 && found.is_file() => {
                bail!("{shown} has something in it: choose another file for --record, or remove it")
            }
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| format!("cannot look at {shown}")),
        }
        let mut options = File::options();
        let file = options.write(true).create(true).mode(0o600).open(path);
        let mut file =
            file.with_context(|| format!("cannot write {shown}: choose another file"))?;
        let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let header = Header {
            pool: config.vram,
            page_size: config.page_size,
            fault_around: config.fault_around,
            started: started.as_secs(),
            policy: policy.to_owned(),
        };
        file.write_all(&header.encode()).with_context(|| format!("cannot write {shown}"))?;
        Ok(Self { file, path: path.to_owned() })
    }

    /// How its writer is called.
    pub(crate) fn recording(&self) -> Recording {
        let path = self.path.clone();
        let (call, rung) = (Mutex::new(Call::Nothing), Condvar::new());
        Recording { path, call, rung, writer: Mutex::new(None) }
    }
}

/// Starts the writer of the shell's recording, if it has one. It ends with
/// [`Recording::finish`], or when the file cannot be written.
pub(crate) fn start(shell: &Arc<Shell>, tape: Tape) -> std::io::Result<()> {
    let own = Arc::clone(shell);
    let writer = worker::spawn("bo-record", move || {
        let shell = own;
        let Some(recording) = &shell.recording else { return };
        let mut file = tape.file;
        let mut taken = Events::default();
        let mut bytes = Vec::new();
        loop {
            let more = recording.wait();
            shell.lock().take_events(&mut taken);
            if let Err(error) = write(&mut file, &taken, &mut bytes) {
                give_up(&shell, recording, &taken, &error);
                return;
            }
            shell.counters.record_written.add(count(&taken));
            shell.counters.record_lost.add(taken.lost);
            if !more {
                return;
            }
        }
    })?;
    if let Some(recording) = &shell.recording {
        *recording.writer.lock() = Some(writer);
    }
    Ok(())
}

fn count(taken: &Events) -> u64 {
    u64::try_from(taken.events.len()).unwrap_or(u64::MAX)
}

/// Adds a batch. `bytes` is kept to be used again.
fn write(file: &mut impl Write, taken: &Events, bytes: &mut Vec<u8>) -> std::io::Result<()> {
    bytes.clear();
    bytes.reserve(RECORD_BYTES * (taken.events.len() + 1));
    for event in &taken.events {
        bytes.extend(Record::Event(*event).encode());
    }
    if taken.lost > 0 {
        bytes.extend(Record::Lost { at: taken.at, events: taken.lost }.encode());
    }
    file.write_all(bytes)
}

/// The service goes on without a recording.
fn give_up(shell: &Shell, recording: &Recording, taken: &Events, error: &std::io::Error) {
    let forgotten = shell.lock().stop_recording();
    shell.counters.record_errors.add(1);
    shell.counters.record_lost.add(count(taken) + taken.lost + forgotten);
    tracing::error!(
        path = %recording.path.display(),
        %error,
        "the recording ends here, as its file cannot be written: make room and start the daemon \
         again to record; clients are served as before"
    );
}

#[cfg(test)]
mod tests {
    use bo_core::journal::{Event, What};
    use bo_units::{ByteCount, ObjectId, PageCount, PageRange, PageSize, Tick};

    use super::*;

    fn config() -> Config {
        Config::new(ByteCount::mib(1), ByteCount::mib(1), PathBuf::from("/nowhere"))
    }

    fn begin(path: &Path) -> anyhow::Result<Tape> {
        Tape::begin(path, &config(), "lru")
    }

    fn temporary(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("bo-record-{}-{name}", std::process::id()));
        let _ = fs::remove_file(&path);
        path
    }

    #[test]
    fn a_tape_begins_with_its_header_and_is_not_begun_twice() {
        let path = temporary("twice");
        begin(&path).expect("a new file");
        let bytes = fs::read(&path).expect("it was made");
        let header = Header::decode(bytes[..].try_into().expect("a header and no more"));
        assert_eq!(header.expect("a header").pool, ByteCount::mib(1));
        let error = begin(&path).expect_err("it has something in it").to_string();
        assert!(error.contains("choose another file"), "{error}");
        fs::write(&path, "").expect("it is ours");
        begin(&path).expect("an empty file is as good as none");
        fs::remove_file(&path).expect("it is ours");
    }

    #[test]
    fn what_cannot_be_written_is_refused_with_its_name() {
        for path in ["/", "/nowhere/at/all", "/proc/version"] {
            let error = format!("{:#}", begin(Path::new(path)).expect_err("no place to record"));
            assert!(error.contains(path), "{error}");
        }
        let error = format!("{:#}", begin(Path::new("/dev/full")).expect_err("no room"));
        assert!(error.contains("/dev/full"), "{error}");
    }

    #[test]
    fn a_batch_is_its_events_and_then_what_is_missing() {
        let event = Event {
            at: Tick::ZERO,
            what: What::Freed,
            client: None,
            object: ObjectId::new(1, 0),
            page_size: PageSize::MIN,
            pages: PageRange::whole(PageCount::new(4)),
        };
        let taken = Events { events: vec![event; 2], lost: 7, at: Tick::from_nanos(9) };
        let (mut file, mut bytes) = (Vec::new(), Vec::new());
        write(&mut file, &taken, &mut bytes).expect("memory takes everything");
        let records: Vec<_> = file
            .chunks(RECORD_BYTES)
            .map(|bytes| Record::decode(bytes.try_into().expect("whole records")))
            .collect();
        let event = Ok(Record::Event(event));
        let lost = Ok(Record::Lost { at: Tick::from_nanos(9), events: 7 });
        assert_eq!(records, [event, event, lost]);
    }

    #[test]
    fn the_writer_is_called_and_told_to_stop() {
        let path = temporary("calls");
        let recording = begin(&path).expect("a new file").recording();
        recording.ring();
        assert!(recording.wait());
        recording.stop();
        recording.ring();
        assert!(!recording.wait(), "who is to stop stops");
        fs::remove_file(&path).expect("it is ours");
    }
}
