//! One client process of the demonstration.

mod held;
mod storm;

use std::path::PathBuf;

use anyhow::{Context, Result};
use bo_client::{Access, AllocSpec, Client, Mapping, Object, Token};

use crate::demo::orders::{Answer, CheckFigures, Import, Order, SCRATCH_BYTES, Task};
use crate::demo::worker::held::HeldFile;
use crate::sizes;
use crate::station::{self, Meter};

/// Serves orders until there are no more.
///
/// # Errors
///
/// What an order failed with; the parent was told.
pub(crate) fn serve() -> Result<()> {
    let mut client = None;
    station::serve(|order, meter| match order {
        Order::Connect { socket, name } => {
            client = Some(Demonstrator::connect(&socket, &name)?);
            Ok(Answer::Connected)
        }
        Order::Do(task) => {
            client.as_mut().context("the first order is `Connect`")?.act(task, meter)
        }
    })
}

/// A connected process and what it holds.
struct Demonstrator {
    client: Client,
    own: Vec<HeldFile>,
    imported: Vec<HeldFile>,
    /// The object that both processes write.
    scratch: Option<Mapping>,
}

impl Demonstrator {
    fn connect(socket: &std::path::Path, name: &str) -> Result<Demonstrator> {
        let client = Client::builder().name(name).connect(socket)?;
        Ok(Demonstrator { client, own: Vec::new(), imported: Vec::new(), scratch: None })
    }

    fn act(&mut self, task: Task, meter: &Meter) -> Result<Answer> {
        match task {
            Task::Load { files } => self.load(files, meter),
            Task::Export { files, scratch } => self.export(&files, scratch),
            Task::Import(import) => self.import(import),
            Task::Storm { millis, threads, seed, fault_threshold_ns } => {
                let plan = storm::Plan { millis, threads, seed, fault_threshold_ns };
                let figures = storm::run(&self.all(), self.scratch()?, &plan, meter)?;
                Ok(Answer::Stormed(Box::new(figures)))
            }
            Task::Check => self.check(meter).map(Answer::Checked),
        }
    }

    fn load(&mut self, files: Vec<PathBuf>, meter: &Meter) -> Result<Answer> {
        for path in files {
            self.own.push(HeldFile::load(&self.client, path, meter)?);
        }
        Ok(Answer::Loaded(self.own.iter().map(|held| held.file.clone()).collect()))
    }

    fn export(&mut self, files: &[usize], scratch: bool) -> Result<Answer> {
        let tokens = files.iter().map(|place| {
            let held = self.own.get(*place).context("there is no such file here")?;
            Ok(held.export()?.to_string())
        });
        let tokens = tokens.collect::<Result<Vec<String>>>()?;
        if !scratch {
            return Ok(Answer::Exported { tokens, scratch: None });
        }
        let spec = AllocSpec::new(SCRATCH_BYTES).label("demo scratch");
        let object = self.client.allocate(spec)?;
        let exported = object.export(Access::ReadWrite)?;
        let token = exported.token().to_string();
        self.hold_scratch(&object)?;
        Ok(Answer::Exported { tokens, scratch: Some(token) })
    }

    fn import(&mut self, import: Import) -> Result<Answer> {
        for (file, token) in import.files {
            self.imported.push(HeldFile::import(&self.client, file, &token)?);
        }
        if let Some(token) = import.scratch {
            let token: Token = token.parse().context("cannot read the scratch object's token")?;
            let object = self.client.import(token, Access::ReadWrite);
            self.hold_scratch(&object?)?;
        }
        Ok(Answer::Imported)
    }

    fn hold_scratch(&mut self, object: &Object) -> Result<()> {
        let mapping = object.map()?;
        self.scratch = Some(mapping);
        Ok(())
    }

    fn check(&self, meter: &Meter) -> Result<CheckFigures> {
        let mut figures = CheckFigures {
            own: sizes::as_u64(self.own.len()),
            imported: sizes::as_u64(self.imported.len()),
            bytes: 0,
            wrong: Vec::new(),
            scratch_sum: storm::scratch_sum(self.scratch()?),
        };
        for held in self.all() {
            if held.sha256(meter)? != held.file.sha256 {
                figures.wrong.push(held.file.path.clone());
            }
            figures.bytes += held.file.bytes;
        }
        Ok(figures)
    }

    fn all(&self) -> Vec<&HeldFile> {
        self.own.iter().chain(&self.imported).collect()
    }

    fn scratch(&self) -> Result<&Mapping> {
        self.scratch.as_ref().context("there is no scratch object yet")
    }
}
