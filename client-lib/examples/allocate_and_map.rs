//! Allocates an object, writes to all of it, and reads it back.
//!
//! `cargo run -p bo-client --example allocate_and_map [SOCKET]`

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::Ordering;

use bo_client::{AllocSpec, ByteCount, Client, default_socket_path};

fn main() -> ExitCode {
    let path = std::env::args_os().nth(1).map_or_else(default_socket_path, PathBuf::from);
    match run(path) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("allocate_and_map: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(path: PathBuf) -> Result<(), Box<dyn Error>> {
    let client = Client::connect(path)?;
    let (vram, ram) = (client.vram_capacity(), client.ram_capacity());
    println!("client {} of a daemon with {vram} VRAM and {ram} RAM", client.id());

    let size = ByteCount::mib(8);
    let object = client.allocate(AllocSpec::new(size.get()).label("example"))?;
    println!("object {}: {} in pages of {}", object.id(), object.size(), object.page_size());

    let mapping = object.map()?;
    println!("mapped at {:#x}", mapping.address());

    // Copies in and out, a page at a time. Where the pages are meanwhile is the daemon's business.
    let page = usize::try_from(object.page_size().bytes())?;
    for (number, offset) in (0..mapping.len()).step_by(page).enumerate() {
        mapping.write_at(offset, &vec![number.to_le_bytes()[0]; page])?;
    }
    let mut back = vec![0; page];
    for (number, offset) in (0..mapping.len()).step_by(page).enumerate() {
        mapping.read_at(offset, &mut back)?;
        if back.iter().any(|&byte| byte != number.to_le_bytes()[0]) {
            return Err(format!("page {number} does not read as it was written").into());
        }
    }
    println!("wrote and read back {}", object.size());

    // Atomics, for what threads and processes share.
    let counter = mapping.atomic_u64(0).ok_or("the first eight bytes are aligned and inside")?;
    counter.store(41, Ordering::Relaxed);
    println!("counted to {}", counter.fetch_add(1, Ordering::Relaxed) + 1);
    drop(mapping);

    // Nobody else has this object, so it can be had as a slice.
    let mut bytes = object.into_exclusive()?;
    bytes.fill(0x5a);
    println!("filled {} bytes as a slice", bytes.len());
    Ok(())
}
