//! When a transfer between pool and store would be over, if a link like PCIe lay between them.
//!
//! A model and no more: it is told the time and says when; nobody waits in here. Each direction
//! has the whole bandwidth, as full duplex has it, and as many copy queues as the engines of the
//! card. The rules:
//!
//! - A transfer joins the queue with the least work left, the first of them if several have.
//! - A queue serves one transfer at a time, in the order of their coming.
//! - The queues of a direction that have work share its bandwidth equally, at every instant: one
//!   alone has all of it, of two each has a half. So a small transfer does not wait for the end of
//!   a large one if there is a second queue, and no queue makes the link faster.
//! - A transfer is complete one latency after its last byte has left. Latency overlaps: it keeps
//!   no queue busy.
//!
//! Because of the sharing, the end of a transfer depends on what comes after it. The model can
//! therefore only be asked for the *next* completion; with one queue that is a sum.
//!
//! All arithmetic is exact in parts of a byte; only the ends are rounded, up, to a nanosecond.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use bo_units::{ByteRate, Tick, show_duration};

use crate::limits::LINK_QUEUES_MAX;

#[cfg(test)]
mod tests;

/// The least common multiple of 1 to 16: bandwidth is divided by that many queues without a rest.
const SHARES: u128 = 720_720;

/// A link of one byte a second does one share of this in a nanosecond.
const WORK_PER_BYTE: u128 = 1_000_000_000 * SHARES;

/// What the link is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkConfig {
    /// Bytes per second, in each direction.
    pub bandwidth: ByteRate,
    /// From the last byte of a transfer until it is complete.
    pub latency: Duration,
    /// Copy queues in each direction, 1 to 16.
    pub queues: u32,
}

impl fmt::Display for LinkConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bandwidth, latency, queues } = *self;
        write!(f, "{bandwidth} and {} each way, queues: {queues}", show_duration(latency))
    }
}

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the store into the pool: fills.
    In,
    /// From the pool to the store: copies of what is evicted.
    Out,
}

impl Direction {
    /// Both.
    pub const ALL: [Self; 2] = [Self::In, Self::Out];

    /// For operators.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::In => "in",
            Self::Out => "out",
        }
    }
}

/// A transfer that is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival<T> {
    /// What it stood for.
    pub cargo: T,
    /// Which way it went.
    pub direction: Direction,
    /// How many bytes it had.
    pub bytes: u64,
    /// The number of its queue, from zero.
    pub queue: usize,
    /// When it was submitted.
    pub submitted: Tick,
    /// When its queue took it up.
    pub started: Tick,
    /// When it was complete. Never later than it was asked for.
    pub completed: Tick,
}

/// What a direction has done so far, and what is still under way in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LinkTotals {
    /// Transfers whose last byte has left.
    pub transfers: u64,
    /// Their bytes.
    pub bytes: u64,
    /// For how long bytes moved.
    pub busy: Duration,
    /// Transfers submitted and not yet taken out again.
    pub in_flight: u64,
}

/// The link, and what is on it. `T` is what a transfer stands for.
#[derive(Debug)]
pub struct LinkModel<T> {
    /// Bytes per second.
    rate: u128,
    latency: Duration,
    lanes: [Lane<T>; 2],
}

/// One direction.
#[derive(Debug)]
struct Lane<T> {
    direction: Direction,
    queues: Vec<Queue<T>>,
    /// Those whose last byte has left; the first one is complete first.
    latent: VecDeque<Arrival<T>>,
    /// Up to when all this is right, in nanoseconds.
    at: u64,
    transfers: u64,
    bytes: u64,
    busy_nanos: u64,
}

/// Transfers that go one after the other; the first is under way.
#[derive(Debug)]
struct Queue<T> {
    transfers: VecDeque<Transfer<T>>,
    /// Bytes of all but the first.
    behind: u128,
}

#[derive(Debug)]
struct Transfer<T> {
    cargo: T,
    bytes: u64,
    submitted: Tick,
    started: Tick,
    /// What is left to do, in units of [`WORK_PER_BYTE`]: below 2^114 for any number of bytes.
    work: u128,
}

impl<T> LinkModel<T> {
    /// A link with nothing on it.
    ///
    /// # Panics
    ///
    /// If the number of queues is not between 1 and 16; the shell has checked it.
    #[must_use]
    pub fn new(config: LinkConfig) -> Self {
        assert!((1..=LINK_QUEUES_MAX).contains(&config.queues), "the shell has checked it");
        let lane = |direction| Lane {
            direction,
            queues: (0..config.queues).map(|_| Queue::new()).collect(),
            latent: VecDeque::new(),
            at: 0,
            transfers: 0,
            bytes: 0,
            busy_nanos: 0,
        };
        Self {
            rate: u128::from(config.bandwidth.bytes_per_second().get()),
            latency: config.latency,
            lanes: Direction::ALL.map(lane),
        }
    }

    /// Puts a transfer on the link. A time that lies before what the model was told already counts
    /// as that.
    pub fn submit(&mut self, now: Tick, direction: Direction, bytes: u64, cargo: T) {
        let (rate, latency) = (self.rate, self.latency);
        let lane = self.lane(direction);
        lane.advance(now, rate, latency);
        let now = Tick::from_nanos(lane.at);
        let work = u128::from(bytes) * WORK_PER_BYTE;
        let queue = lane.queues.iter_mut().min_by_key(|queue| queue.load());
        let queue = queue.expect("there is at least one queue");
        queue.push(Transfer { cargo, bytes, submitted: now, started: now, work });
    }

    /// When the next transfer will be complete, unless something happens before; `None` if there
    /// is none. What is submitted later can only delay those that are there.
    #[must_use]
    pub fn next_completion(&self) -> Option<Tick> {
        self.lanes.iter().filter_map(|lane| lane.next(self.rate, self.latency)).min()
    }

    /// Takes out a transfer that is complete by now, the earliest first.
    pub fn pop(&mut self, now: Tick) -> Option<Arrival<T>> {
        self.advance(now);
        let first = |lane: &Lane<T>| Some(lane.latent.front()?.completed);
        let lane = (self.lanes.iter_mut())
            .filter(|lane| first(lane).is_some_and(|completed| completed <= now))
            .min_by_key(|lane| first(lane))?;
        lane.latent.pop_front()
    }

    /// Takes out any transfer, complete or not: for the day when the link is given up. What has
    /// not left yet is not counted.
    pub fn take(&mut self) -> Option<T> {
        for lane in &mut self.lanes {
            if let Some(arrival) = lane.latent.pop_front() {
                return Some(arrival.cargo);
            }
            if let Some(transfer) = lane.queues.iter_mut().find_map(Queue::pop) {
                return Some(transfer.cargo);
            }
        }
        None
    }

    /// The numbers of one direction.
    pub fn totals(&mut self, now: Tick, direction: Direction) -> LinkTotals {
        self.advance(now);
        let lane = self.lane(direction);
        let waiting: usize = lane.queues.iter().map(|queue| queue.transfers.len()).sum();
        LinkTotals {
            transfers: lane.transfers,
            bytes: lane.bytes,
            busy: Duration::from_nanos(lane.busy_nanos),
            in_flight: (waiting + lane.latent.len()) as u64,
        }
    }

    fn advance(&mut self, now: Tick) {
        for lane in &mut self.lanes {
            lane.advance(now, self.rate, self.latency);
        }
    }

    fn lane(&mut self, direction: Direction) -> &mut Lane<T> {
        let lane = self.lanes.iter_mut().find(|lane| lane.direction == direction);
        lane.expect("there is a lane for each direction")
    }
}

impl<T> Queue<T> {
    fn new() -> Self {
        Self { transfers: VecDeque::new(), behind: 0 }
    }

    /// What is left to do.
    fn load(&self) -> u128 {
        let first = self.transfers.front().map_or(0, |first| first.work);
        self.behind.saturating_mul(WORK_PER_BYTE).saturating_add(first)
    }

    fn push(&mut self, transfer: Transfer<T>) {
        if !self.transfers.is_empty() {
            self.behind += u128::from(transfer.bytes);
        }
        self.transfers.push_back(transfer);
    }

    fn pop(&mut self) -> Option<Transfer<T>> {
        let first = self.transfers.pop_front();
        self.behind -= self.transfers.front().map_or(0, |next| u128::from(next.bytes));
        first
    }
}

impl<T> Lane<T> {
    /// The work that each queue does in a nanosecond, and the nanoseconds until one of them is
    /// done with its transfer; `None` if there is nothing to do.
    fn pace(&self, rate: u128) -> Option<(u128, u128)> {
        let works = self.queues.iter().filter_map(|queue| Some(queue.transfers.front()?.work));
        let (active, least) =
            works.fold((0, u128::MAX), |(active, least), work| (active + 1, least.min(work)));
        if active == 0 {
            return None;
        }
        // Exact, since there are at most sixteen.
        let speed = rate * SHARES / active;
        Some((speed, least.div_ceil(speed)))
    }

    fn next(&self, rate: u128, latency: Duration) -> Option<Tick> {
        if let Some(first) = self.latent.front() {
            // The latency is the same for all, so nobody overtakes it.
            return Some(first.completed);
        }
        let (_, nanos) = self.pace(rate)?;
        let left = self.at.saturating_add(u64::try_from(nanos).unwrap_or(u64::MAX));
        Some(Tick::from_nanos(left).saturating_add(latency))
    }

    /// Lets time pass, from the end of one transfer to that of the next.
    fn advance(&mut self, now: Tick, rate: u128, latency: Duration) {
        while let Some((speed, nanos)) = self.pace(rate) {
            let left = now.nanos().saturating_sub(self.at);
            match u64::try_from(nanos) {
                Ok(nanos) if nanos <= left => self.work(nanos, speed, latency),
                Ok(_) | Err(_) => {
                    self.work(left, speed, latency);
                    return;
                }
            }
        }
        self.at = self.at.max(now.nanos());
    }

    /// Every queue that has work does it for this long: at most until the first one has done.
    fn work(&mut self, nanos: u64, speed: u128, latency: Duration) {
        self.at += nanos;
        self.busy_nanos = self.busy_nanos.saturating_add(nanos);
        let now = Tick::from_nanos(self.at);
        for (number, queue) in self.queues.iter_mut().enumerate() {
            let mut done = speed * u128::from(nanos);
            while let Some(head) = queue.transfers.front_mut() {
                if done < head.work {
                    head.work -= done;
                    break;
                }
                // The rest of the nanosecond is for the next one, which has waited.
                done -= head.work;
                let head = queue.pop().expect("it was looked at just now");
                self.transfers += 1;
                self.bytes = self.bytes.saturating_add(head.bytes);
                self.latent.push_back(Arrival {
                    cargo: head.cargo,
                    direction: self.direction,
                    bytes: head.bytes,
                    queue: number,
                    submitted: head.submitted,
                    started: head.started,
                    completed: now.saturating_add(latency),
                });
                if let Some(next) = queue.transfers.front_mut() {
                    next.started = now;
                }
            }
        }
    }
}
