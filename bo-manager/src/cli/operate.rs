//! Orders to a running daemon: suspend, resume, evict, resize.
//!
//! Exit codes: 0, done; 1, refused, or not done in time; 2, the command line makes no sense; 3, no
//! daemon takes orders there.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::bail;
use bo_units::{ByteCount, ClientId, ObjectId, parse_duration};
use clap::Args;
use serde_json::{Value, json};

use crate::cli::operate::call::Caller;
use crate::config::{default_control_path, default_socket_path};

mod call;

pub(super) use call::NoDaemon;

/// How often it is looked whether an order is carried out.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Where the daemon is, and how its answer is shown.
#[derive(Debug, Clone, Args)]
pub struct Target {
    /// Where the daemon takes orders [default: beside the socket of its clients, as the daemon has
    /// it: bo-manager-control.sock in $XDG_RUNTIME_DIR, else in /run].
    #[arg(long, env = "BO_CONTROL", value_name = "PATH")]
    control: Option<PathBuf>,

    /// Show the daemon's answer as it is: one line of JSON.
    #[arg(long)]
    json: bool,
}

/// Whether to stay until the order is carried out.
#[derive(Debug, Clone, Copy, Args)]
pub struct Patience {
    /// Return when it is done, and not when it is begun.
    #[arg(long)]
    wait: bool,

    /// Give up waiting after this long, with exit code 1. What was ordered goes on.
    #[arg(long, default_value = "1m", value_name = "TIME", value_parser = parse_duration)]
    timeout: Duration,
}

/// Flags of `suspend`.
#[derive(Debug, Args)]
pub struct Suspend {
    /// Which client, as the status lists it, such as 3.1.
    client: ClientId,
    /// Whether to stay until its last page is out of the pool.
    #[command(flatten)]
    patience: Patience,
    /// Where the daemon is.
    #[command(flatten)]
    target: Target,
}

/// Flags of `resume`.
#[derive(Debug, Args)]
pub struct Resume {
    /// Which client, as the status lists it, such as 3.1.
    client: ClientId,
    /// What it had in the pool comes back ahead of need.
    #[arg(long)]
    prefetch: bool,
    /// Where the daemon is.
    #[command(flatten)]
    target: Target,
}

/// Flags of `evict`.
#[derive(Debug, Args)]
#[group(id = "what", required = true, multiple = false, args = ["client", "object"])]
pub struct Evict {
    /// What this client alone holds.
    #[arg(long, value_name = "ID")]
    client: Option<ClientId>,
    /// This object.
    #[arg(long, value_name = "ID")]
    object: Option<ObjectId>,
    /// Where the daemon is.
    #[command(flatten)]
    target: Target,
}

/// Flags of `resize`.
#[derive(Debug, Args)]
pub struct Resize {
    /// The size of the VRAM pool from now on, such as 512MiB.
    bytes: ByteCount,
    /// Whether to stay until a smaller pool has come down to it.
    #[command(flatten)]
    patience: Patience,
    /// Where the daemon is.
    #[command(flatten)]
    target: Target,
}

impl Target {
    fn caller(&self) -> anyhow::Result<Caller> {
        let usual = || default_control_path(&default_socket_path());
        Caller::new(self.control.clone().unwrap_or_else(usual))
    }

    /// Shows the answer, or what it means.
    fn show(&self, answer: &Value, meaning: impl FnOnce(&Value) -> String) {
        match self.json {
            true => println!("{answer}"),
            false => println!("{}", meaning(answer)),
        }
    }
}

impl Patience {
    /// Looks until it is done, if that is wished: what was found last.
    fn stay(
        self,
        first: Value,
        done: impl Fn(&Value) -> anyhow::Result<bool>,
        look: impl Fn() -> anyhow::Result<Value>,
    ) -> anyhow::Result<Value> {
        let (start, mut found) = (Instant::now(), first);
        while self.wait && !done(&found)? {
            if start.elapsed() > self.timeout {
                bail!("it is not done after {:?}, and goes on: {found}", self.timeout);
            }
            std::thread::sleep(LOOK_AGAIN);
            found = look()?;
        }
        Ok(found)
    }
}

fn bytes(answer: &Value, name: &str) -> ByteCount {
    ByteCount::new(answer[name].as_u64().unwrap_or(0))
}

impl Suspend {
    pub(super) fn run(&self) -> anyhow::Result<()> {
        let (caller, client) = (self.target.caller()?, self.client);
        let begun = caller.post(&format!("/api/v1/clients/{client}/suspend"), &json!({}))?;
        let done = |found: &Value| match found["state"].as_str() {
            Some("suspended") => Ok(true),
            Some("suspending") => Ok(false),
            other => bail!("client {client} is {} again", other.unwrap_or("as it was")),
        };
        let look = || caller.get(&format!("/api/v1/clients/{client}"));
        let found = self.patience.stay(begun, done, look)?;
        self.target.show(&found, |found| {
            let state = found["state"].as_str().unwrap_or("suspending");
            format!("client {client} is {state}; {} faults wait", found["parked_faults"])
        });
        Ok(())
    }
}

impl Resume {
    pub(super) fn run(&self) -> anyhow::Result<()> {
        let client = self.client;
        let body = json!({ "prefetch": self.prefetch });
        let path = format!("/api/v1/clients/{client}/resume");
        let answer = self.target.caller()?.post(&path, &body)?;
        self.target.show(&answer, |answer| {
            let (woken, pages) = (&answer["woken_faults"], &answer["prefetch_pages"]);
            format!("client {client} goes on; {woken} faults had waited, {pages} pages are fetched")
        });
        Ok(())
    }
}

impl Evict {
    pub(super) fn run(&self) -> anyhow::Result<()> {
        let path = match (self.client, self.object) {
            (Some(client), _) => format!("/api/v1/clients/{client}/evict"),
            (None, Some(object)) => format!("/api/v1/objects/{object}/evict"),
            (None, None) => bail!("give --client or --object"),
        };
        let answer = self.target.caller()?.post(&path, &json!({}))?;
        self.target.show(&answer, |answer| format!("{} evicted", bytes(answer, "bytes")));
        Ok(())
    }
}

impl Resize {
    pub(super) fn run(&self) -> anyhow::Result<()> {
        let caller = self.target.caller()?;
        let begun = caller.post("/api/v1/pool/resize", &json!({ "bytes": self.bytes.get() }))?;
        let wanted = begun["target_bytes"].clone();
        let done = |found: &Value| match found["target_bytes"] == wanted {
            true => Ok(found["capacity_bytes"] == wanted),
            false => bail!("the pool was given another size meanwhile: {found}"),
        };
        let found = self.patience.stay(begun, done, || caller.get("/api/v1/pool"))?;
        self.target.show(&found, |found| {
            let (target, capacity) = (bytes(found, "target_bytes"), bytes(found, "capacity_bytes"));
            match target == capacity {
                true => format!("the pool is {capacity} large"),
                false => format!("the pool is {capacity} large, on its way to {target}"),
            }
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use crate::cli::{Cli, Command};

    fn parse(arguments: &str) -> Result<Command, clap::Error> {
        let words = ["bo-manager"].into_iter().chain(arguments.split_whitespace());
        Cli::try_parse_from(words).map(|cli| cli.command)
    }

    #[test]
    fn orders_name_whom_they_are_about() {
        for good in [
            "suspend 3.1",
            "suspend 3.1 --wait --timeout 5s --json",
            "resume 3.1 --prefetch --control /run/x.sock",
            "evict --client 3.1",
            "evict --object 17.2",
            "resize 512MiB --wait",
        ] {
            assert!(parse(good).is_ok(), "{good}");
        }
    }

    #[test]
    fn orders_that_make_no_sense_are_refused_with_code_2() {
        for bad in [
            "suspend",
            "suspend 3",
            "resume x.y",
            "evict",
            "evict --client 1.1 --object 1.1",
            "resize 512MB",
            "resize",
        ] {
            assert_eq!(parse(bad).expect_err(bad).exit_code(), 2, "{bad}");
        }
    }
}
