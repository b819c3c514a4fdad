//! The client against a service whose strings the test pulls: for what the real one can't be made
//! to do.
#![allow(clippy::unwrap_used)]

mod ahead;
mod below;
mod deadline;
mod entering;
mod following;
mod foreign;
mod healthy;
mod keeping;
mod observing;
mod page;
mod proxy;
mod puppet;
mod several;
mod token;
mod vanishing;
