//! Runs seeds: see docs/simulation.md.

#[cfg(not(turmoil))]
fn main() {
    eprintln!("this needs the simulated network: run tests/turmoil/run, which builds with it");
    std::process::exit(2);
}

#[cfg(turmoil)]
fn main() -> anyhow::Result<()> {
    seeds::main()
}

#[cfg(turmoil)]
mod seeds;
