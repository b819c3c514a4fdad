//! Following who leads, over connections that break.

mod history;
mod observation;
mod observed;
mod selection;

pub use observation::Observation;
pub use observed::Observed;
pub use selection::Selection;
