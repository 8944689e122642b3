//! Shares an object with another process by its token.
//!
//! `cargo run -p bo-client --example share_by_token [SOCKET]`
//!
//! The program starts itself a second time as the importer, and tells it the token on its standard
//! input: arguments can be read by every user of the machine.

use std::error::Error;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use bo_client::{Access, AllocSpec, Client, Token, default_socket_path};

/// The second argument of the importer.
const IMPORTER: &str = "importer";

const GREETING: &[u8; 19] = b"hello over the pool";

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let path = arguments.next().map_or_else(default_socket_path, PathBuf::from);
    let is_importer = arguments.next().is_some_and(|argument| argument == IMPORTER);
    match if is_importer { import(&path) } else { export(&path) } {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("share_by_token: {error}");
            ExitCode::FAILURE
        }
    }
}

fn export(path: &Path) -> Result<(), Box<dyn Error>> {
    let client = Client::builder().name("exporter").connect(path)?;
    let object = client.allocate(AllocSpec::new(1 << 20).label("shared"))?;
    object.map()?.write_at(0, GREETING)?;
    let exported = object.export(Access::ReadOnly)?;
    println!("exporter: object {} can be imported {}", object.id(), exported.access());

    let mut importer = Command::new(std::env::current_exe()?)
        .arg(path)
        .arg(IMPORTER)
        .stdin(Stdio::piped())
        .spawn()?;
    let mut stdin = importer.stdin.take().ok_or("the importer's input is a pipe")?;
    writeln!(stdin, "{}", exported.token())?;
    drop(stdin);
    let status = importer.wait()?;
    if !status.success() {
        return Err(format!("the importer ended with {status}").into());
    }
    Ok(())
}

fn import(path: &Path) -> Result<(), Box<dyn Error>> {
    let token: Token = std::io::read_to_string(std::io::stdin())?.trim().parse()?;
    let client = Client::builder().name("importer").connect(path)?;
    let object = client.import(token, Access::ReadOnly)?;
    let mapping = object.map()?;
    let mut greeting = [0; GREETING.len()];
    mapping.read_at(0, &mut greeting)?;
    println!("importer: read {:?}", String::from_utf8_lossy(&greeting));
    if &greeting != GREETING {
        return Err("that is not what the exporter wrote".into());
    }
    match mapping.write_at(0, b"no") {
        Ok(()) => Err("a read-only mapping took a write".into()),
        Err(error) => {
            println!("importer: as it should be, {error}");
            Ok(())
        }
    }
}
