//! Short stories about the manager, told through its public door.

mod accounts;
mod cleaning;
mod desk;
mod endings;
mod faults;
mod hints;
mod moves;
mod pace;
mod recording;
mod resizing;
mod rights;
mod shares;
mod sizes;
mod steps;
mod suspending;
mod walks;
