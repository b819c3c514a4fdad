//! The `leasehold-server` command.

#[cfg(turmoil)]
compile_error!("the simulated network has no command: see tests/turmoil");

#[cfg(not(turmoil))]
fn main() -> std::process::ExitCode {
    match leasehold_server::start() {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("leasehold-server: {error:#}");
            std::process::ExitCode::FAILURE
        }
    }
}
