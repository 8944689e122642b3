//! The parent's end: real client processes, each told what to do and waited for together.

use std::io::{BufRead, BufReader, Write};
use std::marker::PhantomData;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use anyhow::{Context, Result, anyhow, bail};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::progress::Progress;
use crate::station::Line;

/// This very program, also when its file was replaced meanwhile.
pub(crate) const PROGRAM: &str = "/proc/self/exe";

/// Worker processes that take orders `O` and answer `A`. Dropping it ends those still there.
pub(crate) struct Crew<O, A> {
    members: Vec<Member>,
    heard: Receiver<(usize, Heard<A>)>,
    orders: PhantomData<O>,
    /// Whether members are let finish when this is dropped, rather than ended.
    patient: bool,
}

struct Member {
    process: Child,
    /// Closed to let the worker go.
    orders: Option<ChildStdin>,
}

enum Heard<A> {
    Line(Line<A>),
    /// Not a line of ours.
    Noise(String),
    Closed,
}

impl<O: Serialize, A: DeserializeOwned + Send + 'static> Crew<O, A> {
    /// Starts `count` processes of this program with the given subcommand.
    ///
    /// # Errors
    ///
    /// When a process cannot be started; those already started are ended.
    pub(crate) fn start(subcommand: &str, count: usize) -> Result<Crew<O, A>> {
        Crew::start_with(subcommand, count, false)
    }

    /// Starts one process that what interrupts us does not reach: it goes on until its orders
    /// end, and is always waited for.
    ///
    /// # Errors
    ///
    /// When the process cannot be started.
    pub(crate) fn start_apart(subcommand: &str) -> Result<Crew<O, A>> {
        Crew::start_with(subcommand, 1, true)
    }

    fn start_with(subcommand: &str, count: usize, patient: bool) -> Result<Crew<O, A>> {
        let (heard_from, heard) = mpsc::channel();
        let members = Vec::with_capacity(count);
        let mut crew = Crew { members, heard, orders: PhantomData, patient };
        for index in 0..count {
            let mut command = Command::new(PROGRAM);
            command.arg0("bo-bench").arg(subcommand);
            command.stdin(Stdio::piped()).stdout(Stdio::piped());
            if patient {
                // The terminal sends Ctrl-C to the group that we are in.
                command.process_group(0);
            }
            let mut process =
                command.spawn().with_context(|| format!("cannot start client process {index}"))?;
            let orders = process.stdin.take();
            let answers = process.stdout.take().context("a piped output is there")?;
            crew.members.push(Member { process, orders });
            let heard_from = heard_from.clone();
            thread::spawn(move || listen(index, answers, &heard_from));
        }
        Ok(crew)
    }

    /// Gives each worker its order, and waits for all: a barrier on both sides.
    ///
    /// # Errors
    ///
    /// When a worker fails or dies; it is named, with what it said.
    pub(crate) fn tell_each(
        &mut self,
        progress: &Progress,
        order: impl Fn(usize) -> O,
    ) -> Result<Vec<A>> {
        let all: Vec<usize> = (0..self.members.len()).collect();
        for index in &all {
            self.tell(*index, &order(*index))?;
        }
        self.wait_for(&all, progress)
    }

    /// The number that the system knows a worker by.
    ///
    /// # Errors
    ///
    /// When there is no such worker.
    pub(crate) fn process_id(&self, index: usize) -> Result<u32> {
        let member = self.members.get(index);
        Ok(member.with_context(|| format!("there is no client process {index}"))?.process.id())
    }

    /// Gives one worker an order and waits for its answer.
    ///
    /// # Errors
    ///
    /// When that worker, or another one meanwhile, fails or dies.
    pub(crate) fn tell_one(&mut self, index: usize, progress: &Progress, order: &O) -> Result<A> {
        self.tell(index, order)?;
        let answer = self.wait_for(&[index], progress)?.pop();
        answer.context("one answer was waited for")
    }

    /// Lets all workers go and waits for them to exit.
    ///
    /// # Errors
    ///
    /// When one of them does not exit with success.
    pub(crate) fn dismiss(mut self) -> Result<()> {
        for member in &mut self.members {
            member.orders = None;
        }
        for (index, member) in self.members.iter_mut().enumerate() {
            let status = member.process.wait();
            let status = status.with_context(|| format!("cannot wait for client {index}"))?;
            if !status.success() {
                bail!("client process {index} ended with {status}");
            }
        }
        Ok(())
    }

    /// Gives one worker an order, whose answer is waited for later.
    ///
    /// # Errors
    ///
    /// When that worker cannot be reached.
    pub(crate) fn tell(&mut self, index: usize, order: &O) -> Result<()> {
        let mut line = serde_json::to_string(order).context("cannot write an order down")?;
        line.push('\n');
        let orders = self.members.get_mut(index).and_then(|member| member.orders.as_mut());
        let orders = orders.with_context(|| format!("client process {index} was let go"))?;
        let told = orders.write_all(line.as_bytes()).and_then(|()| orders.flush());
        told.with_context(|| format!("cannot reach client process {index}"))
    }

    /// Waits for one answer of each of these workers, which come in the order of `expected`.
    /// Answers of others that come meanwhile are a mistake of the caller.
    ///
    /// # Errors
    ///
    /// When a worker fails or dies.
    pub(crate) fn wait_for(&mut self, expected: &[usize], progress: &Progress) -> Result<Vec<A>> {
        let mut answers: Vec<Option<A>> = self.members.iter().map(|_| None).collect();
        let mut counts = vec![0; self.members.len()];
        let mut missing = expected.len();
        while 0 < missing {
            let (index, heard) = self.heard.recv().context("all client processes are gone")?;
            match heard {
                Heard::Line(Line::Progress(count)) => {
                    counts[index] = count;
                    progress.set(counts.iter().sum());
                }
                Heard::Line(Line::Answer(answer)) => {
                    answers[index] = Some(answer);
                    missing -= 1;
                }
                Heard::Line(Line::Failed(why)) => bail!("client process {index}: {why}"),
                Heard::Noise(line) => bail!("client process {index} said {line:?}"),
                Heard::Closed => return Err(self.obituary(index)),
            }
        }
        let answers = expected.iter().map(|index| answers[*index].take());
        answers.collect::<Option<Vec<A>>>().context("a client process answered out of turn")
    }

    fn obituary(&mut self, index: usize) -> anyhow::Error {
        match self.members[index].process.wait() {
            Ok(status) => anyhow!("client process {index} ended in mid-run with {status}"),
            Err(error) => anyhow!("client process {index} was lost: {error}"),
        }
    }
}

impl<O, A> Drop for Crew<O, A> {
    fn drop(&mut self) {
        for member in &mut self.members {
            if self.patient {
                member.orders = None;
                drop(member.process.wait());
                continue;
            }
            // Reaped already, or about to be: either way nothing is left to report to anyone.
            drop(member.process.kill());
            drop(member.process.wait());
        }
    }
}

fn listen<A: DeserializeOwned>(
    index: usize,
    answers: ChildStdout,
    heard_from: &Sender<(usize, Heard<A>)>,
) {
    for line in BufReader::new(answers).lines() {
        let Ok(line) = line else { break };
        let heard = serde_json::from_str(&line).map_or_else(|_| Heard::Noise(line), Heard::Line);
        if heard_from.send((index, heard)).is_err() {
            return;
        }
    }
    // Nobody listens once the crew is dismissed.
    drop(heard_from.send((index, Heard::Closed)));
}
