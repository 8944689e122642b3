//! Brings an object in ahead of its use, and looks at its numbers.
//!
//! `cargo run -p bo-client --example prefetch_and_stat [SOCKET]`

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use bo_client::{AllocSpec, ByteCount, Client, Object, PageSize, default_socket_path};

fn main() -> ExitCode {
    let path = std::env::args_os().nth(1).map_or_else(default_socket_path, PathBuf::from);
    match run(path) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("prefetch_and_stat: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(path: PathBuf) -> Result<(), Box<dyn Error>> {
    let client = Client::connect(path)?;
    let spec = AllocSpec::new(ByteCount::mib(4).get()).page_size(PageSize::KIB_64);
    let object = client.allocate(spec.label("prefetched"))?;
    show("fresh", &object)?;

    let mapping = object.map()?;
    mapping.write_at(0, b"one page")?;
    show("after one write", &object)?;

    // As much as there is room for. Pages may leave again at any time; using them keeps them.
    let resident = object.prefetch(0..object.size().get())?;
    println!("prefetched: {resident} of {} are resident", object.size());
    show("after prefetching", &object)?;

    // For pages that are used in ways that no fault shows, such as reading them again and again.
    object.touch_range(0..ByteCount::MIB.get())?;
    println!("touched the first {}", ByteCount::MIB);
    Ok(())
}

fn show(when: &str, object: &Object) -> Result<(), Box<dyn Error>> {
    let stat = object.stat()?;
    let (resident, stored) =
        (ByteCount::new(stat.resident_bytes), ByteCount::new(stat.stored_bytes));
    println!(
        "{when}: {resident} resident, {stored} stored, {} faults, {} evictions, {} mappings",
        stat.faults, stat.evictions, stat.mappings
    );
    Ok(())
}
