//! The last step before the command: makes sure that it dies with the watchdog, then becomes the
//! command.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{Access, access};
use rustix::process::{Signal, getppid, set_parent_process_death_signal};

use super::terminal;
use super::watchdog::THIS_PROGRAM;
use crate::exit::{Exit, Failure};

/// The kernel reads no more of the first line of a script.
const LONGEST_INTERPRETER: u64 = 256;

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
    // Every part is started from there.
    if let Err(error) = access(THIS_PROGRAM, Access::EXEC_OK) {
        let error = io::Error::from(error);
        let message = format!("the command can't be started: {THIS_PROGRAM}: {error}. Is /proc mounted?");
        return Err(Failure::new(Exit::NotExecutable, message));
    }
    if program.is_empty() {
        return Err(cannot_start(program, &io::ErrorKind::NotFound.into()));
    }
    if program.as_bytes().contains(&b'/') {
        return check_file(Path::new(program)).map_err(|error| cannot_start(program, &error));
    }
    let path = env::var_os("PATH").unwrap_or_else(|| OsString::from("/bin:/usr/bin"));
    let mut refused = None;
    for file in env::split_paths(&path).map(|directory| directory.join(program)) {
        match check_file(&file) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => _ = refused.get_or_insert_with(|| cannot_start(file.as_os_str(), &error)),
        }
    }
    Err(refused.unwrap_or_else(|| cannot_start(program, &io::ErrorKind::NotFound.into())))
}

/// Whether the kernel would start this file, as far as it can be told without starting it.
fn check_file(file: &Path) -> io::Result<()> {
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it isn't a file"));
    }
    access(file, Access::EXEC_OK)?;
    // A file that may be started and not be read says nothing of its interpreter.
    let Ok(opened) = File::open(file) else { return Ok(()) };
    let mut head = Vec::new();
    opened.take(LONGEST_INTERPRETER).read_to_end(&mut head)?;
    match interpreter(&head) {
        Some(interpreter) if !interpreter.exists() => {
            Err(io::Error::other(format!("its interpreter {} isn't there", interpreter.display())))
        }
        _ => Ok(()),
    }
}

/// What a script names in its first line, after `#!`.
fn interpreter(head: &[u8]) -> Option<PathBuf> {
    let line = head.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let name = line.split(|byte| b" \t\r".contains(byte)).find(|word| !word.is_empty())?;
    Some(PathBuf::from(OsStr::from_bytes(name)))
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
        let folder = check(OsStr::new("/tmp")).unwrap_err();
        assert_eq!(folder.exit, Exit::NotExecutable);
        assert!(folder.to_string().contains("it isn't a file"), "{folder}");
    }

    #[test]
    fn a_script_without_its_interpreter_is_named() {
        let folder = tempfile::TempDir::new().unwrap();
        let script = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
            path
        };
        check(script("good", "#! /bin/sh -e\nexit 0\n").as_os_str()).unwrap();
        let failure = check(script("bad", "#!/no/such/shell\n").as_os_str()).unwrap_err();
        assert_eq!(failure.exit, Exit::NotExecutable);
        assert!(failure.to_string().contains("its interpreter /no/such/shell isn't there"), "{failure}");
    }
}
