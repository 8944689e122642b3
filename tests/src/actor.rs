//! The story's side of an actor.

use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use bo_wire::ObjectStat;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, WaitOptions};

use crate::order::{Answer, Checked, Ended, Lost, Order, Peeked, Refused};
use crate::wait::{DEADLINE, until};

/// Nobody's user and group, on every Linux.
const NOBODY: u32 = 65534;

/// The name of a userfaultfd among a process's descriptors.
const UFFD_LINK: &str = "anon_inode:[userfaultfd]";

/// Who a process belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum User {
    /// Root, with all privileges.
    Root,
    /// Uid 65534, with none.
    Nobody,
}

/// A place in an actor's table of objects or of mappings.
pub type Slot = usize;

/// A thread of an actor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Task {
    /// Its place in the actor's table.
    pub slot: Slot,
    /// Its number to the kernel.
    pub tid: i32,
}

/// A client process. Killed when dropped.
#[derive(Debug)]
pub struct Actor {
    page_bytes: u64,
    process: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
    /// How many descriptors it has of each of its userfaultfds.
    holders: u64,
}

impl Actor {
    pub(crate) fn start(program: &Path, user: User, page_bytes: u64) -> Actor {
        let mut command = Command::new(program);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        match user {
            User::Root => {}
            User::Nobody => {
                command.uid(NOBODY).gid(NOBODY);
            }
        }
        let mut process = command.spawn().expect("tests run as root, and the program is there");
        let orders = process.stdin.take().expect("it was asked for");
        let answers = BufReader::new(process.stdout.take().expect("it was asked for"));
        Actor { page_bytes, process, orders, answers, holders: 1 }
    }

    /// Gives an order and does not wait. Each order must be followed by one [`Actor::answer`].
    pub fn order(&mut self, order: &Order) {
        let mut line = serde_json::to_string(order).expect("orders are plain data");
        line.push('\n');
        self.orders.write_all(line.as_bytes()).expect("the actor lives");
    }

    /// The answer to the oldest order that has none.
    #[track_caller]
    pub fn answer(&mut self) -> Answer {
        self.await_answer();
        let mut line = String::new();
        let read = self.answers.read_line(&mut line).expect("answers are text");
        assert!(read != 0, "the actor ended: {:?}", self.process.try_wait());
        serde_json::from_str(&line).expect("answers are JSON")
    }

    #[track_caller]
    fn await_answer(&mut self) {
        if !self.answers.buffer().is_empty() {
            return;
        }
        let pipe = self.answers.get_ref().as_fd();
        let mut polled = [PollFd::from_borrowed_fd(pipe, PollFlags::IN)];
        let patience = Timespec::try_from(DEADLINE).expect("a minute is not too long");
        let ready = poll(&mut polled, Some(&patience)).expect("a pipe can be polled");
        assert!(ready == 1, "no answer: threads of the actor are at\n{}", self.whereabouts());
    }

    /// Gives an order and waits for its answer.
    #[track_caller]
    pub fn ask(&mut self, order: &Order) -> Answer {
        self.order(order);
        self.answer()
    }

    /// An order that is only ever done.
    #[track_caller]
    pub fn must(&mut self, order: &Order) {
        let answer = self.ask(order);
        assert_eq!(answer, Answer::Done, "{order:?}");
    }

    /// An order whose answer is a number.
    #[track_caller]
    pub fn number(&mut self, order: &Order) -> u64 {
        let answer = self.ask(order);
        let Answer::Number(number) = answer else { panic!("{order:?}: {answer:?}") };
        number
    }

    /// An order that the library must refuse.
    #[track_caller]
    pub fn refused(&mut self, order: &Order) -> Refused {
        let answer = self.ask(order);
        let Answer::Refused(refused) = answer else {
            panic!("{order:?} must be refused: {answer:?}")
        };
        refused
    }

    /// Connects to the daemon at `socket`.
    #[track_caller]
    pub fn connect(&mut self, socket: &Path, on_lost: Lost) {
        self.must(&Order::Connect { socket: socket.to_owned(), on_lost });
        self.holders = match on_lost {
            Lost::Wait => 1,
            // The library's thread has its own.
            Lost::Sigbus => 2,
        };
    }

    /// An object of this many bytes, in pages of the size that its station's pool goes by.
    #[track_caller]
    pub fn allocate(&mut self, bytes: u64) -> Slot {
        self.object(&Order::Allocate { bytes, page_bytes: Some(self.page_bytes) })
    }

    /// An order that gives an object.
    #[track_caller]
    pub fn object(&mut self, order: &Order) -> Slot {
        let answer = self.ask(order);
        let Answer::Object { slot, .. } = answer else { panic!("{order:?}: {answer:?}") };
        slot
    }

    /// A mapping of a whole object, for all that may be done with it.
    #[track_caller]
    pub fn map(&mut self, object: Slot) -> Slot {
        let order = Order::Map { object, read_only: false };
        let answer = self.ask(&order);
        let Answer::Mapping { slot, .. } = answer else { panic!("{order:?}: {answer:?}") };
        slot
    }

    /// A new object of this many bytes, mapped: its slots as object and as mapping.
    #[track_caller]
    pub fn allocate_and_map(&mut self, bytes: u64) -> (Slot, Slot) {
        let object = self.allocate(bytes);
        (object, self.map(object))
    }

    /// A token by which others can have an object.
    #[track_caller]
    pub fn export(&mut self, object: Slot, read_only: bool) -> String {
        let answer = self.ask(&Order::Export { object, read_only });
        let Answer::Token(token) = answer else { panic!("no token: {answer:?}") };
        token
    }

    /// The object that a token stands for.
    #[track_caller]
    pub fn import(&mut self, token: &str, read_only: bool) -> Slot {
        self.object(&Order::Import { token: token.to_owned(), read_only })
    }

    /// Writes the pattern of `seed` to all pages.
    #[track_caller]
    pub fn fill(&mut self, mapping: Slot, seed: u64) {
        self.must(&Order::Fill { mapping, seed, first: 0, pages: u64::MAX });
    }

    /// Panics unless all pages hold the pattern of `seed`.
    #[track_caller]
    pub fn check(&mut self, mapping: Slot, seed: u64) {
        self.check_pages(mapping, seed, 0, u64::MAX);
    }

    /// Panics unless `pages` pages from `first` on hold the pattern of `seed`.
    #[track_caller]
    pub fn check_pages(&mut self, mapping: Slot, seed: u64, first: u64, pages: u64) {
        let answer = self.ask(&Order::Check { mapping, seed, first, pages });
        assert_eq!(answer, Answer::Checked(Checked::default()));
    }

    /// Asks the kernel for all pages.
    #[track_caller]
    pub fn peek(&mut self, mapping: Slot, seed: u64) -> Peeked {
        let answer = self.ask(&Order::Peek { mapping, seed, first: 0, pages: u64::MAX });
        let Answer::Peeked(peeked) = answer else { panic!("nothing to see: {answer:?}") };
        peeked
    }

    /// The numbers of an object.
    #[track_caller]
    pub fn stat(&mut self, object: Slot) -> ObjectStat {
        let answer = self.ask(&Order::Stat { object });
        let Answer::Stat(stat) = answer else { panic!("no numbers: {answer:?}") };
        stat
    }

    /// Lets a thread carry out an order.
    #[track_caller]
    pub fn spawn(&mut self, order: Order) -> Task {
        let answer = self.ask(&Order::Spawn { order: Box::new(order) });
        let Answer::Thread { slot, tid } = answer else { panic!("no thread: {answer:?}") };
        Task { slot, tid }
    }

    /// Waits for a thread.
    #[track_caller]
    pub fn join(&mut self, task: Task) -> Answer {
        self.ask(&Order::Join { task: task.slot })
    }

    /// Stops a thread that works until it is stopped, and waits for it.
    #[track_caller]
    pub fn finish(&mut self, task: Task) -> Answer {
        self.must(&Order::Stop { task: task.slot });
        self.join(task)
    }

    /// Its number to the kernel.
    #[must_use]
    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.process)
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        rustix::process::kill_process(self.pid(), signal).expect("it lives");
    }

    /// Stops the process; returns when every thread of it stands still.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
        let found = rustix::process::waitpid(Some(self.pid()), WaitOptions::UNTRACED);
        let (_, status) = found.expect("a child").expect("it was waited for");
        assert!(status.stopped(), "{status:?}");
    }

    /// Lets it go on after [`Actor::freeze`].
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// Kills it and waits until it is gone.
    pub fn kill(&mut self) {
        self.process.kill().expect("it lives");
        self.wait();
    }

    /// Waits for its end.
    #[track_caller]
    pub fn wait(&mut self) -> Ended {
        let start = Instant::now();
        let found = loop {
            if let Some(status) = self.process.try_wait().expect("a child") {
                break status;
            }
            let places = || self.whereabouts();
            assert!(start.elapsed() < DEADLINE, "it lives: its threads are at\n{}", places());
            std::thread::sleep(Duration::from_millis(1));
        };
        ended(found)
    }

    /// How many of its threads are blocked in a fault that nobody has answered. The kernel's own
    /// count of the userfaultfd, so that there is nothing to guess.
    #[must_use]
    pub fn blocked(&self) -> u64 {
        let process = PathBuf::from(format!("/proc/{}", self.process.id()));
        let Ok(descriptors) = std::fs::read_dir(process.join("fd")) else { return 0 };
        let mut count = 0;
        for descriptor in descriptors.flatten() {
            let link = std::fs::read_link(descriptor.path()).unwrap_or_default();
            if link.to_str() == Some(UFFD_LINK) {
                let info = process.join("fdinfo").join(descriptor.file_name());
                count += faults_waiting(&info);
            }
        }
        // Descriptors of one userfaultfd count the same faults.
        count / self.holders
    }

    /// Returns when at least `threads` of its threads are blocked in faults.
    #[track_caller]
    pub fn until_blocked(&self, threads: u64) {
        until("threads are blocked in faults", || (threads <= self.blocked()).then_some(()));
    }

    /// Where its threads are in the kernel, for whoever looks at a failed test.
    #[must_use]
    pub fn whereabouts(&self) -> String {
        let folder = format!("/proc/{}/task", self.process.id());
        let Ok(threads) = std::fs::read_dir(folder) else { return "gone".to_owned() };
        let stacks = threads
            .flatten()
            .map(|thread| std::fs::read_to_string(thread.path().join("stack")).unwrap_or_default());
        stacks.collect::<Vec<_>>().join("--\n")
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        // It may be dead already, of what the test was about.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn ended(status: ExitStatus) -> Ended {
    match (status.code(), status.signal()) {
        (Some(code), _) => Ended::Exited(code),
        (None, Some(signal)) => Ended::Signalled(signal),
        (None, None) => panic!("{status:?}"),
    }
}

/// The field `total` of a userfaultfd's fdinfo: faults delivered and not yet, none answered.
fn faults_waiting(info: &Path) -> u64 {
    let text = std::fs::read_to_string(info).unwrap_or_default();
    let total = text.lines().find_map(|line| line.strip_prefix("total:"));
    total.and_then(|number| number.trim().parse().ok()).unwrap_or(0)
}
