//! The `leasehold-server` command.

#[cfg(turmoil)]
compile_error!("the simulated network has no command: see tests/turmoil");

#[cfg(not(turmoil))]
fn main() -> std::process::ExitCode {
    leasehold_server::start()
}
