//! The targets of the fuzzers: each a function of bytes that panics when a promise is broken.
//! docs/fuzzing.md says how to run them.

pub mod core;
pub mod identity;
pub mod lease;
pub mod mirror;
pub mod policy;
pub mod requests;
pub mod script;
mod service;
pub mod state_file;
pub mod ticket;

/// A target by its name, with inputs to begin from.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name.
    pub name: &'static str,
    /// Does with an input whatever it means.
    pub run: fn(&[u8]),
    /// Small inputs that mean something.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All of them.
pub const TARGETS: [Target; 8] = [
    Target { name: "core", run: core::run, seeds: core::seeds },
    Target { name: "identity", run: identity::run, seeds: identity::seeds },
    Target { name: "lease", run: lease::run, seeds: lease::seeds },
    Target { name: "mirror", run: mirror::run, seeds: mirror::seeds },
    Target { name: "policy", run: policy::run, seeds: policy::seeds },
    Target { name: "requests", run: requests::run, seeds: requests::seeds },
    Target { name: "state_file", run: state_file::run, seeds: state_file::seeds },
    Target { name: "ticket", run: ticket::run, seeds: ticket::seeds },
];

/// Says what an input means, while it is done: with FUZZ_TRACE=1, for whoever looks at a crash.
pub fn trace(what: &impl std::fmt::Debug) {
    static WANTED: std::sync::LazyLock<bool> = std::sync::LazyLock::new(|| std::env::var_os("FUZZ_TRACE").is_some());
    if *WANTED {
        eprintln!("{what:?}");
    }
}

#[cfg(test)]
mod tests;
