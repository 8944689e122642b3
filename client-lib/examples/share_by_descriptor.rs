//! Shares an object with another process by a descriptor, sent over a Unix socket.
//!
//! `cargo run -p bo-client --example share_by_descriptor [SOCKET]`
//!
//! The program starts itself a second time as the importer, with one end of a socket pair as its
//! standard input. A descriptor cannot be guessed, or read out of a log, and needs no secrecy.

use std::error::Error;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::atomic::Ordering;

use bo_client::{Access, AllocSpec, Client, ExportedObject, default_socket_path};
use bo_sys::socket;

/// The second argument of the importer.
const IMPORTER: &str = "importer";

/// Where in the object the importer counts.
const COUNTER: u64 = 4096;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let path = arguments.next().map_or_else(default_socket_path, PathBuf::from);
    let is_importer = arguments.next().is_some_and(|argument| argument == IMPORTER);
    match if is_importer { import(&path) } else { export(&path) } {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("share_by_descriptor: {error}");
            ExitCode::FAILURE
        }
    }
}

fn export(path: &Path) -> Result<(), Box<dyn Error>> {
    let client = Client::builder().name("exporter").connect(path)?;
    let object = client.allocate(AllocSpec::new(1 << 20).label("shared"))?;
    let mapping = object.map()?;
    let counter = mapping.atomic_u64(COUNTER).ok_or("the counter is aligned and inside")?;
    counter.store(41, Ordering::Release);

    let exported = object.export(Access::ReadWrite)?;
    let (ours, theirs) = socket::pair()?;
    let mut importer =
        Command::new(std::env::current_exe()?).arg(path).arg(IMPORTER).stdin(theirs).spawn()?;
    socket::send(&ours, b"object", &[exported.descriptor()])?;
    println!("exporter: sent a descriptor of object {}", object.id());

    let status = importer.wait()?;
    if !status.success() {
        return Err(format!("the importer ended with {status}").into());
    }
    let count = counter.load(Ordering::Acquire);
    println!("exporter: the importer has counted to {count}");
    if count == 42 { Ok(()) } else { Err("that is not what it should have counted to".into()) }
}

fn import(path: &Path) -> Result<(), Box<dyn Error>> {
    let mut message = [0; 64];
    let received = socket::receive(std::io::stdin().as_fd(), &mut message)?;
    let descriptor = received.descriptors.into_iter().next().ok_or("no descriptor came")?;

    let client = Client::builder().name("importer").connect(path)?;
    let object = client.import(ExportedObject::from_descriptor(descriptor), Access::ReadWrite)?;
    println!("importer: imported object {} of {}", object.id(), object.size());
    let mapping = object.map()?;
    let counter = mapping.atomic_u64(COUNTER).ok_or("the counter is aligned and inside")?;
    counter.fetch_add(1, Ordering::AcqRel);
    Ok(())
}
