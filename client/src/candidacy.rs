//! A worker's part in one election, from entering it to the end of the leadership.
//!
//! A task in the background ([`task`]) does all that is sent and heard. It writes what is known
//! into a shared state ([`shared`]), which the handles of the worker read: [`enrolled`] before it
//! leads, [`leadership`] then. The rules stand in [`protocol`] and [`state`].

mod attempt;
mod campaign;
mod campaign_stream;
mod enrolled;
mod entering;
mod handle;
mod keep_alive;
mod leadership;
mod protocol;
mod resign;
mod shared;
mod standing;
mod state;
mod task;
mod terms;
mod ticket;

pub use campaign::Campaign;
pub use enrolled::Candidacy;
pub use leadership::Leadership;
pub use standing::Standing;
