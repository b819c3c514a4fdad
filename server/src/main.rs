//! The `leasehold-server` command.

fn main() -> std::process::ExitCode {
    match leasehold_server::start() {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("leasehold-server: {error:#}");
            std::process::ExitCode::FAILURE
        }
    }
}
