//! The protocol seen from outside: what one side writes the other reads, and nothing else.

mod corpus;
mod edges;
mod hostile;
mod round_trip;
mod samples;
mod strategies;
