//! The last step before the command: makes sure that it dies with the watchdog, then becomes the command.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{Access, access};
use rustix::process::{Signal, getppid, set_parent_process_death_signal};

use super::terminal;
use crate::exit::{Exit, Failure};

/// What this step is started with.
#[derive(Debug, clap::Args)]
pub(crate) struct LaunchArgs {
    /// The watchdog.
    #[arg(long)]
    pub(crate) parent: i32,

    /// Whether the command gets the terminal.
    #[arg(long)]
    pub(crate) foreground: bool,

    /// The command.
    #[arg(last = true, required = true)]
    pub(crate) command: Vec<OsString>,
}

/// Becomes the command; returns only if it can't.
pub(crate) fn launch(args: &LaunchArgs) -> Failure {
    match prepare(args) {
        Ok(()) => {}
        Err(error) => return Failure::new(Exit::Internal, format!("can't prepare the start of the command: {error}")),
    }
    let error = Command::new(&args.command[0]).args(&args.command[1..]).exec();
    cannot_start(&args.command[0], &error)
}

fn prepare(args: &LaunchArgs) -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // A parent that ended before that call sends no signal any more.
    if getppid().map(|parent| parent.as_raw_nonzero().get()) != Some(args.parent) {
        return Err(io::Error::other("the watchdog is gone"));
    }
    if args.foreground {
        // That fails if the terminal has just gone: the command finds out by itself.
        let _ = terminal::come_to_foreground();
    }
    terminal::heed_background()
}

/// Says now, before anything waits for a leadership, that this command can't be started.
pub(crate) fn check(program: &OsStr) -> Result<(), Failure> {
    if program.as_bytes().contains(&b'/') {
        return access(Path::new(program), Access::EXEC_OK).map_err(|error| cannot_start(program, &error.into()));
    }
    let path = env::var_os("PATH").unwrap_or_else(|| OsString::from("/bin:/usr/bin"));
    let mut found = env::split_paths(&path).map(|directory| directory.join(program)).filter(|file| file.is_file());
    let is_executable = |file: &PathBuf| access(file, Access::EXEC_OK).is_ok();
    match found.next() {
        None => Err(cannot_start(program, &io::ErrorKind::NotFound.into())),
        Some(first) if is_executable(&first) || found.any(|file| is_executable(&file)) => Ok(()),
        Some(first) => Err(cannot_start(first.as_os_str(), &io::ErrorKind::PermissionDenied.into())),
    }
}

fn cannot_start(program: &OsStr, error: &io::Error) -> Failure {
    let program = program.to_string_lossy();
    match error.kind() {
        io::ErrorKind::NotFound => {
            Failure::new(Exit::NotFound, format!("there is no command {program:?}. Check its name, or give its path."))
        }
        _ => Failure::new(Exit::NotExecutable, format!("the command {program:?} can't be started: {error}.")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Exit;

    #[test]
    fn a_command_that_can_be_started_passes() {
        check(OsStr::new("sh")).unwrap();
        check(OsStr::new("/bin/sh")).unwrap();
    }

    #[test]
    fn a_command_that_is_not_there_is_named() {
        for program in ["no-such-command", "/no/such/command"] {
            let failure = check(OsStr::new(program)).unwrap_err();
            assert_eq!(failure.exit, Exit::NotFound);
            assert!(failure.to_string().contains(program));
        }
    }

    #[test]
    fn a_file_that_is_no_program_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert_eq!(check(file.path().as_os_str()).unwrap_err().exit, Exit::NotExecutable);
    }
}
