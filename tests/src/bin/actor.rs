//! A client process that does what it is told, line by line: see `bo_tests::Order`.

#![forbid(unsafe_code)]

use std::io::{self, BufRead, Write};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use bo_tests::{Answer, Order, Player};
use rustix::process::{Signal, set_parent_process_death_signal};

fn main() {
    set_parent_process_death_signal(Some(Signal::KILL)).expect("every kernel knows this call");
    // A line of its own says that a program that replaced another is there.
    let reborn = std::env::args().nth(1).is_some();
    if reborn {
        answer(&Answer::Done);
    }
    let player = Arc::new(Player::default());
    let never = AtomicBool::new(false);
    for line in io::stdin().lock().lines() {
        let line = line.expect("orders are text");
        let order: Order = serde_json::from_str(&line).expect("orders are JSON");
        answer(&player.perform(&order, &never));
    }
}

fn answer(answer: &Answer) {
    let mut line = serde_json::to_string(answer).expect("answers are plain data");
    line.push('\n');
    io::stdout().write_all(line.as_bytes()).expect("the story listens");
    io::stdout().flush().expect("the story listens");
}
