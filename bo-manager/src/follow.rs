//! Which fault readers hear of whose faults.
//!
//! A fault wakes every reader that listens, and waking one that sleeps on another CPU costs the
//! faulting thread several microseconds before it can even wait; if that other reader then gets
//! the fault, its answer has to travel back. So once the threads of a userfaultfd are known to
//! fault on one CPU, only the reader of that CPU listens. They are looked for again from time to
//! time, and whenever an answer seems to have come from afar; while nobody knows where they are,
//! or they are in several places, every reader listens.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

/// How often in a row a thread must be seen on one CPU before only that CPU's reader listens.
const SETTLE: u32 = 4;

/// The same for threads that keep moving, at most.
const SETTLE_MAX: u32 = 256;

/// A place that has proved right so often in a row is trusted again.
const TRUST: u32 = 8;

/// Faults between two looks while nobody knows where the threads are, at least and at most.
const PAUSE_MIN: u32 = 4;
const PAUSE_MAX: u32 = 256;

/// Faults between two looks once only one reader listens.
const PAUSE_SETTLED: u32 = 64;

/// Who waits this long between two faults may have had to be woken from afar: that takes 90 µs
/// and more where a CPU has to be woken, and a look takes four.
const FAR: Duration = Duration::from_micros(64);

/// Threads whose place can be looked up without opening a file again.
const KNOWN_THREADS: usize = 2;

/// Who is to listen from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Listeners {
    /// Every reader.
    All,
    /// The reader of this CPU.
    Only(usize),
}

/// Where the threads of one userfaultfd fault, as far as is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Aim {
    listeners: Listeners,
    /// Where a thread was seen last, and how often in a row.
    place: usize,
    streak: u32,
    /// How long a streak must be.
    settle: u32,
    pause: u32,
    /// Faults until the next look.
    left: u32,
}

impl Aim {
    pub(crate) fn new() -> Self {
        Self {
            listeners: Listeners::All,
            place: usize::MAX,
            streak: 0,
            settle: SETTLE,
            pause: PAUSE_MIN,
            left: PAUSE_MIN,
        }
    }

    pub(crate) fn listeners(&self) -> Listeners {
        self.listeners
    }

    /// True if it is time to look where the faulting thread is: so many faults have come, this
    /// long after the last answer.
    pub(crate) fn is_due(&mut self, faults: u32, gap: Duration) -> bool {
        self.left = self.left.saturating_sub(faults);
        let looked_just_now = self.pause - self.left < PAUSE_MIN;
        let far = matches!(self.listeners, Listeners::Only(_)) && gap >= FAR && !looked_just_now;
        let due = far || self.left == 0;
        if due {
            self.left = self.pause;
        }
        due
    }

    /// A thread was seen on this CPU. Says who is to listen from now on, if that changes.
    pub(crate) fn seen(&mut self, cpu: usize) -> Option<Listeners> {
        let same = self.place == cpu;
        self.streak = if same { self.streak.saturating_add(1) } else { 1 };
        self.place = cpu;
        match self.listeners {
            Listeners::Only(_) if same => {
                if self.streak >= self.settle.saturating_mul(TRUST) {
                    self.settle = SETTLE;
                }
                None
            }
            Listeners::Only(_) => {
                self.settle = self.settle.saturating_mul(2).min(SETTLE_MAX);
                Some(self.widen())
            }
            Listeners::All if self.streak >= self.settle => {
                self.pause = PAUSE_SETTLED;
                self.left = self.pause;
                self.listeners = Listeners::Only(cpu);
                Some(self.listeners)
            }
            Listeners::All => {
                self.pause = if same { PAUSE_MIN } else { (self.pause * 2).min(PAUSE_MAX) };
                self.left = self.left.min(self.pause);
                None
            }
        }
    }

    /// Every reader is to listen again, and to go on for long: the only one was not there.
    pub(crate) fn distrust(&mut self) -> Listeners {
        self.settle = SETTLE_MAX;
        self.widen()
    }

    /// Every reader is to listen again.
    fn widen(&mut self) -> Listeners {
        self.listeners = Listeners::All;
        self.streak = self.streak.min(1);
        self.pause = PAUSE_MIN;
        self.left = self.pause;
        self.listeners
    }
}

/// What is kept of one userfaultfd to follow its threads.
#[derive(Debug)]
pub(crate) struct Follow {
    pub(crate) aim: Aim,
    /// When its last faults were answered.
    pub(crate) answered: Instant,
    /// No reader listens any more, and none is to begin again.
    pub(crate) closed: bool,
    threads: [Option<(u32, File)>; KNOWN_THREADS],
    oldest: usize,
}

impl Follow {
    pub(crate) fn new() -> Self {
        Self {
            aim: Aim::new(),
            answered: Instant::now(),
            closed: false,
            threads: Default::default(),
            oldest: 0,
        }
    }

    /// The CPU that a thread of this process ran on last; `None` if it cannot be found, as from
    /// another pid namespace.
    pub(crate) fn find(&mut self, process: u32, thread: u32) -> Option<usize> {
        let known = self
            .threads
            .iter()
            .position(|each| each.as_ref().is_some_and(|(number, _)| *number == thread));
        let at = match known {
            Some(at) => at,
            None => {
                let file = File::open(format!("/proc/{process}/task/{thread}/stat")).ok()?;
                let at = self.oldest;
                self.oldest = (at + 1) % KNOWN_THREADS;
                self.threads[at] = Some((thread, file));
                at
            }
        };
        let (_, file) = self.threads[at].as_ref()?;
        let mut text = [0; 512];
        match file.read_at(&mut text, 0) {
            Ok(len) if len > 0 => cpu_of(text.get(..len)?),
            Ok(_) | Err(_) => {
                // It has ended, and its number may be another's one day.
                self.threads[at] = None;
                None
            }
        }
    }
}

/// The field `processor` of proc_pid_stat(5), the 39th. The second is a name in parentheses, which
/// may contain anything.
fn cpu_of(stat: &[u8]) -> Option<usize> {
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(stat.get(end + 1..)?).ok()?;
    rest.split_ascii_whitespace().nth(39 - 3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEAR: Duration = Duration::ZERO;

    /// Lets faults come until a look is due; says how many.
    fn faults_until_due(aim: &mut Aim) -> u32 {
        (1..).find(|_| aim.is_due(1, NEAR)).expect("a look is due some time")
    }

    fn settled(cpu: usize) -> Aim {
        let mut aim = Aim::new();
        for _ in 1..SETTLE {
            assert_eq!(aim.seen(cpu), None);
        }
        assert_eq!(aim.seen(cpu), Some(Listeners::Only(cpu)));
        aim
    }

    #[test]
    fn one_reader_listens_once_the_place_is_known() {
        let mut aim = settled(3);
        assert_eq!(faults_until_due(&mut aim), PAUSE_SETTLED);
        assert_eq!(aim.seen(3), None);
    }

    #[test]
    fn all_listen_again_as_soon_as_a_thread_is_elsewhere() {
        let mut aim = settled(3);
        assert_eq!(aim.seen(1), Some(Listeners::All));
        assert_eq!(aim.listeners(), Listeners::All);
        assert_eq!(faults_until_due(&mut aim), PAUSE_MIN);
    }

    #[test]
    fn an_answer_from_afar_is_looked_into_at_once() {
        let mut aim = settled(0);
        for _ in 0..PAUSE_MIN {
            assert!(!aim.is_due(1, FAR - Duration::from_nanos(1)));
        }
        assert!(aim.is_due(1, FAR));
        // Not at each of a thread that is slow by nature.
        assert!(!aim.is_due(1, FAR));
        // While all listen it says nothing.
        assert!(!Aim::new().is_due(1, FAR));
    }

    #[test]
    fn threads_in_two_places_are_looked_for_less_and_less() {
        let mut aim = Aim::new();
        let pauses: Vec<u32> = (0..10)
            .map(|number| {
                assert_eq!(aim.seen(number % 2), None);
                faults_until_due(&mut aim);
                faults_until_due(&mut aim)
            })
            .collect();
        assert!(pauses.is_sorted() && pauses.last() == Some(&PAUSE_MAX), "{pauses:?}");
    }

    #[test]
    fn who_keeps_moving_must_stay_longer_to_be_believed() {
        let mut aim = settled(0);
        aim.seen(1);
        let looks = (1..).find(|_| aim.seen(0) == Some(Listeners::Only(0)));
        assert_eq!(looks, Some(2 * SETTLE));
        // And is believed at once again after having stayed for long.
        for _ in 0..2 * SETTLE * TRUST {
            assert_eq!(aim.seen(0), None);
        }
        aim.seen(1);
        let looks = (1..).find(|_| aim.seen(0) == Some(Listeners::Only(0)));
        assert_eq!(looks, Some(2 * SETTLE));
    }

    #[test]
    fn a_thread_is_found_on_the_cpu_that_it_is_pinned_to() {
        let cpus = bo_sys::thread::allowed_cpus().unwrap();
        let (process, thread) = (std::process::id(), rustix::thread::gettid());
        let thread = thread.as_raw_nonzero().get().unsigned_abs();
        let mut follow = Follow::new();
        for cpu in cpus {
            bo_sys::thread::pin_to_cpu(cpu).unwrap();
            assert_eq!(follow.find(process, thread), Some(cpu));
        }
        assert_eq!(follow.find(process, 1 << 30), None);
    }

    #[test]
    fn a_name_can_be_anything() {
        let mut fields = vec!["0"; 49];
        fields[36] = "7";
        let stat = format!("12 (a) b (c d) {}", fields.join(" "));
        assert_eq!(cpu_of(stat.as_bytes()), Some(7));
        assert_eq!(cpu_of(b"12 (cut"), None);
    }
}
