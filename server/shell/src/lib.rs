//! The shell of a replica, without a runtime: it feeds the core, and does what the core says.
//!
//! ```text
//! Message, Input, now ->  Shell::receive, Shell::handle  ->  Replica::handle
//!                                                            Replica::poll_output
//! Ports  <-  Shell::send_outputs  <-------------------------------- Output
//! ```
//!
//! The shell owns what belongs to one replica and to no task: open streams, calls without an
//! answer, mirrors, changes that the board hasn't seen, and the [`Phase`]. It reads no clock, waits
//! for nobody and writes no log: `now` is an argument, and whoever runs it implements [`Ports`].
//! The server's loop, the simulation and the fuzzers run this very code.

mod beat;
mod board;
mod ports;
mod right;
mod shell;
mod standing;
mod word;

pub use beat::Beat;
pub use board::{BoardNews, TenureBoard};
pub use ports::{Fact, Gone, Message, News, Opening, Ports, RightNews, Write};
pub use right::Right;
pub use shell::Shell;
pub use standing::{LAPSE_PATIENCE, Phase};
pub use word::{Answer, StreamItem, Word};
