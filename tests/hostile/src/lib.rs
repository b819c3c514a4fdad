//! Attacks on a real server, each by a name, bounded in count and time, beside honest workers who
//! mustn't notice.

mod attacks;
mod honest;
mod run;
mod sealed;
#[allow(missing_docs)]
pub mod wire;

pub use attacks::{ATTACKS, Attack, Report, Target};
pub use honest::{Honest, Seen};
pub use run::{How, Outcome, run};
