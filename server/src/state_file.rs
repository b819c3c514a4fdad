//! The embedded store: keys and record in one small file, in a directory that is locked against a
//! second process.
//!
//! ```text
//! DIR/lock             locked while a server runs; its text is that server's process id, and ends
//!                      with `!` when the mark `steady` doesn't count. Empty until a state was
//!                      stored here once
//! DIR/state.json       keys and record, see format.rs; always whole: written beside and renamed
//! DIR/state.json.new   the next one, while it is being written
//! DIR/steady           there for as long as the record is renewed in time: its tenure ended when
//!                      its right did, at the latest. A server that goes on though it can't store,
//!                      as on a full disk, removes it first, or says in `lock` that it doesn't count
//! ```

pub(crate) mod format;
mod private;

use crate::clock;
use crate::keys::Keys;
use format::{Began, State, Undecodable};
use leasehold_core::{Found, Millis, Record, Tenure, Time};
use private::MAX_STATE_BYTES;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Why the state can't be read or stored: a sentence that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StateFileError {
    /// Another process holds the lock.
    #[error(
        "another leasehold-server{} uses {}: stop it, or give this one a directory of its own with --data-dir",
        pid.map(|pid| format!(" (process {pid})")).unwrap_or_default(), dir.display()
    )]
    InUse {
        /// The directory.
        dir: PathBuf,
        /// The other process, if it has said so.
        pid: Option<u32>,
    },
    /// The system refused.
    #[error("can't {doing} {}: {cause}{}", path.display(), advice(cause))]
    Io {
        /// What was tried.
        doing: &'static str,
        /// With what.
        path: PathBuf,
        /// The system's words. Not the error's `source`: the text has them already.
        cause: io::Error,
    },
    /// Half a file, or one that was changed.
    #[error(
        "{} can't be read as state: {why}; restore it from a backup, or, if no worker is running, delete {} to start a new \
         service", path.display(), path.parent().unwrap_or(path).display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Written by another version of this program.
    #[error(
        "{} has the format {found}, and this leasehold-server {} knows the format {} only: start the version that wrote it{}, or, if no \
         worker is running, delete {} to start a new service; the file is left as it is",
        path.display(), env!("CARGO_PKG_VERSION"), format::FORMAT,
        if *found > format::FORMAT { ", or a later one" } else { "" }, path.parent().unwrap_or(path).display()
    )]
    OtherFormat {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u64,
    },
    /// Something else stands where a file ought to.
    #[error(
        "{} is {what}; it must be a file of its own, which this server makes when there is none: remove it, or choose another \
         --data-dir", path.display()
    )]
    NotAFile {
        /// Where it stands.
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// Others can get at the keys, and this process can't change that.
    #[error(
        "{} can be read or changed by every user of this machine (its mode is {mode:04o}), and this server's user doesn't own \
         it: take those rights away, or choose another --data-dir, such as a folder of its own below this one",
        path.display()
    )]
    Exposed {
        /// The folder, or the file.
        path: PathBuf,
        /// Its rights.
        mode: u32,
    },
    /// The lock isn't ours any more.
    #[error(
        "{} was removed or replaced while this server runs, so another one may use the same directory: stop this one, and \
         start it again", path.display()
    )]
    LockGone {
        /// The lock.
        path: PathBuf,
    },
    /// Somebody else writes here, in spite of the lock.
    #[error(
        "{} was written by another leasehold-server while this one runs: two use the same directory, perhaps on a network file system \
         whose locks don't reach other machines; stop one of them. This one serves nobody until it is started again", path.display()
    )]
    Overtaken {
        /// The file.
        path: PathBuf,
    },
    /// There is no record of this tenure yet that it could go on without renewing.
    #[error("nothing of this tenure is stored yet")]
    NothingStored,
}

impl StateFileError {
    /// Whether the directory is another server's, for good.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        matches!(self, Self::LockGone { .. } | Self::Overtaken { .. })
    }
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::PermissionDenied => {
            "; make it belong to the user who runs this server, or choose another --data-dir"
        }
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "; make room there",
        ErrorKind::ReadOnlyFilesystem | ErrorKind::NotADirectory | ErrorKind::AlreadyExists => {
            "; choose another --data-dir"
        }
        ErrorKind::Unsupported => "; choose a --data-dir on a local file system",
        _ => "",
    }
}

/// An open data directory. Its lock is held until this is dropped, or the process is gone.
#[derive(Debug)]
pub struct StateFile {
    dir: PathBuf,
    lock: File,
    keys: Keys,
    /// When this process took the lock. The process that had it before was gone by then.
    locked_at: Time,
    /// Which start of which machine this is; `None` where the system doesn't tell.
    boot: Option<String>,
    /// Whether the record that this process found was renewed in time.
    found_steady: bool,
    /// Locked for each write, since there is one name for the file that is being written.
    own: Mutex<Own>,
}

/// What this process has stored.
#[derive(Debug)]
struct Own {
    /// The tenure of its last record.
    tenure: Option<Tenure>,
    /// It is renewed in time, as far as the directory says.
    steady: bool,
    /// Somebody else writes here.
    overtaken: bool,
}

impl StateFile {
    /// Makes the directory (mode 0700) if there is none, takes away what rights others have to it,
    /// locks it, and stores new keys if it has no state. Blocks for as long as the disk takes.
    ///
    /// # Errors
    /// [`StateFileError`]: somebody else has it, it can't be used, or what is in it can't be
    /// understood.
    pub fn open(dir: &Path) -> Result<Self, StateFileError> {
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed("make the directory", dir))?;
        private::close_folder(dir)?;
        let path = dir.join("lock");
        let lock = private::open_or_make(&path)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(StateFileError::InUse { dir: dir.to_owned(), pid: pid_in(&lock) });
            }
            Err(TryLockError::Error(cause)) => return Err(failed("lock", &path)(cause)),
        }
        let (locked_at, boot) = (clock::now(), boot_id());
        let used_before = lock.metadata().map_err(failed("read", &path))?.len() > 0;

        let found_steady = dir.join("steady").exists() && !text_of(&lock).ends_with('!');
        let own = Mutex::new(Own { tenure: None, steady: found_steady, overtaken: false });
        let keys = Keys::generate();
        let mut this = Self { dir: dir.to_owned(), lock, keys, locked_at, boot, found_steady, own };
        remove_if_there(&this.next_path())?;
        private::close_file(&this.path())?;
        match this.load()? {
            Some(state) => this.keys = state.keys,
            // The next process must know that something was lost, if this one ends before its first
            // record.
            None => this.store(used_before, None, None)?,
        }
        // The next process must know what the last record is worth, if this one ends before its
        // first record.
        this.sign_lock(found_steady)?;
        Ok(this)
    }

    /// Where it is.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The service's secrets. They are stored already.
    #[must_use]
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// What is stored. Blocks for as long as the disk takes.
    ///
    /// # Errors
    /// [`StateFileError`].
    pub fn read(&self) -> Result<Found, StateFileError> {
        self.check_lock()?;
        if self.own().overtaken {
            return Err(StateFileError::Overtaken { path: self.path() });
        }
        Ok(match self.load()? {
            Some(State { record: Some(record), began, .. }) => Found::Record(self.bounded(record, began)),
            Some(State { lost: false, record: None, .. }) => Found::Fresh,
            Some(State { lost: true, record: None, .. }) | None => Found::Lost,
        })
    }

    /// How long the tenure of this record can have lasted. The lock was free, so the process that
    /// wrote it was gone when this one took it: where both read the same clock, that is known, and
    /// a leader that was heard shortly before a crash is put back even if its TTL is short.
    /// Otherwise its right bounds it, if the record was renewed in time.
    fn bounded(&self, record: Record, began: Option<Began>) -> Record {
        if record.ended_at.is_some() {
            return record;
        }
        let own = self.own();
        let began = began.filter(|began| Some(&began.boot) == self.boot.as_ref()).map(|began| Time(began.at_ms));
        // A tenure that began after that is this process's own.
        let gone = began.filter(|began| *began < self.locked_at).map(|began| self.locked_at.since(began));
        let mine = own.tenure == Some(record.tenure) || began.is_some_and(|began| began >= self.locked_at);
        let steady = if mine { own.steady } else { self.found_steady };
        let ended_at = match (steady, gone) {
            (true, gone) => gone.map(|gone| gone.min(record.right_ended())),
            (false, Some(gone)) => Some(gone),
            // Nobody knows.
            (false, None) => Some(Millis(u64::MAX)),
        };
        record.bounded(ended_at)
    }

    /// Stores a record in place of the former one. `sent` is the moment that its `renewed_at`
    /// stands for, or an earlier one. A record for which this returns `Ok` outlives a loss of
    /// power. After an error either the old or the new record is there, whole. Blocks for as long
    /// as the disk takes.
    ///
    /// # Errors
    /// [`StateFileError`].
    pub fn write(&self, record: &Record, sent: Time) -> Result<(), StateFileError> {
        let at_ms = sent.since(Time(record.renewed_at.0)).0;
        let mut own = self.own();
        self.check_place(&mut own, record.tenure)?;
        self.store(false, Some(record), self.boot.clone().map(|boot| Began { boot, at_ms }))?;
        own.tenure = Some(record.tenure);
        if !own.steady {
            // Without the mark the next process is more careful than it has to be.
            own.steady = self.mark_steady().is_ok();
        }
        Ok(())
    }

    /// The record couldn't be renewed, and its tenure goes on all the same. When this returns `Ok`,
    /// that outlives a loss of power: whoever comes next doesn't believe that it ended when the
    /// right of its last record did. It takes no room on the disk, and works in a folder that this
    /// process may no longer write to.
    ///
    /// # Errors
    /// [`StateFileError`]: the directory isn't this process's any more, there is no record of this
    /// tenure, or not even that can be stored.
    pub fn go_on_without(&self, record: &Record) -> Result<(), StateFileError> {
        let mut own = self.own();
        self.check_place(&mut own, record.tenure)?;
        if own.tenure != Some(record.tenure) || record.ended_at.is_some() {
            return Err(StateFileError::NothingStored);
        }
        if own.steady {
            let removed = remove_if_there(&self.steady_path()).and_then(|()| self.sync_dir());
            removed.or_else(|_| self.sign_lock(false))?;
            own.steady = false;
        }
        Ok(())
    }

    fn mark_steady(&self) -> Result<(), StateFileError> {
        let path = self.steady_path();
        let made = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path);
        made.map_err(failed("make", &path))?;
        self.sync_dir()?;
        self.sign_lock(true)
    }

    fn own(&self) -> MutexGuard<'_, Own> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn steady_path(&self) -> PathBuf {
        self.dir.join("steady")
    }

    fn sync_dir(&self) -> Result<(), StateFileError> {
        File::open(&self.dir).and_then(|dir| dir.sync_all()).map_err(failed("write", &self.dir))
    }

    fn path(&self) -> PathBuf {
        self.dir.join("state.json")
    }

    fn next_path(&self) -> PathBuf {
        self.dir.join("state.json.new")
    }

    fn load(&self) -> Result<Option<State>, StateFileError> {
        let path = self.path();
        let Some(bytes) = private::read(&path)? else { return Ok(None) };
        format::decode(&bytes).map(Some).map_err(|error| match error {
            Undecodable::Damaged(why) => StateFileError::Damaged { path, why },
            Undecodable::OtherFormat(found) => StateFileError::OtherFormat { path, found },
        })
    }

    fn store(&self, lost: bool, record: Option<&Record>, began: Option<Began>) -> Result<(), StateFileError> {
        let bytes = self.encode(lost, record, began);
        let (path, next) = (self.path(), self.next_path());
        remove_if_there(&next)?;
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&next);
        let mut file = file.map_err(failed("write", &next))?;
        file.write_all(&bytes).and_then(|()| file.sync_all()).map_err(failed("write", &next))?;
        fs::rename(&next, &path).map_err(failed("replace", &path))?;
        self.sync_dir()
    }

    /// Whether the directory is still this process's alone. A lock can fail: on a network file
    /// system it may not reach other machines. Two servers in one directory find each other's
    /// records there; the one with the higher tenure is the later one, and goes on.
    fn check_place(&self, own: &mut Own, tenure: Tenure) -> Result<(), StateFileError> {
        self.check_lock()?;
        own.overtaken |= match self.load() {
            Ok(there) => there.and_then(|state| state.record).is_some_and(|there| there.tenure > tenure),
            Err(StateFileError::OtherFormat { .. }) => true,
            // A damaged file is replaced.
            Err(_) => false,
        };
        if own.overtaken { Err(StateFileError::Overtaken { path: self.path() }) } else { Ok(()) }
    }

    /// The text of the file. A handover that makes it too long to be read again is left out, and
    /// the next tenure starts as after a crash.
    fn encode(&self, lost: bool, record: Option<&Record>, began: Option<Began>) -> Vec<u8> {
        let bytes = format::encode(&self.keys, lost, record, began.clone());
        match record {
            Some(record) if bytes.len() as u64 > MAX_STATE_BYTES => {
                tracing::error!(bytes = bytes.len(), "too much to hand over by the state file: nothing is handed over");
                let record = record.without_handover().bounded(None);
                format::encode(&self.keys, lost, Some(&record), began)
            }
            _ => bytes,
        }
    }

    /// Whether the lock at the path is still this process's. Somebody who deletes the directory of
    /// a running server frees its name for a second server, whose state the first one would
    /// replace.
    fn check_lock(&self) -> Result<(), StateFileError> {
        let path = self.dir.join("lock");
        let ours = self.lock.metadata();
        match (ours, fs::metadata(&path)) {
            (Ok(ours), Ok(there)) if (ours.dev(), ours.ino()) == (there.dev(), there.ino()) => Ok(()),
            (Ok(_), Err(cause)) if cause.kind() != ErrorKind::NotFound => Err(failed("read", &path)(cause)),
            (Err(cause), _) => Err(failed("read", &path)(cause)),
            _ => Err(StateFileError::LockGone { path }),
        }
    }

    /// Writes the process id, and whether the mark `steady` counts, in one piece of constant
    /// length: once a state was stored, the lock is never empty again, and nothing more is needed
    /// of the disk.
    fn sign_lock(&self, steady: bool) -> Result<(), StateFileError> {
        let text = format!("{:<10}{}", std::process::id(), if steady { '\n' } else { '!' });
        let written = self.lock.write_all_at(text.as_bytes(), 0).and_then(|()| self.lock.sync_all());
        written.map_err(failed("write", &self.dir.join("lock")))
    }
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StateFileError {
    let path = path.to_owned();
    move |cause| StateFileError::Io { doing, path, cause }
}

fn remove_if_there(path: &Path) -> Result<(), StateFileError> {
    match fs::remove_file(path) {
        Err(cause) if cause.kind() != ErrorKind::NotFound => Err(failed("remove", path)(cause)),
        _ => Ok(()),
    }
}

/// Linux names each start of the machine.
fn boot_id() -> Option<String> {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").ok().map(|id| id.trim().to_owned())
}

fn text_of(mut lock: &File) -> String {
    let mut text = String::new();
    // Where it can't be read, the mark doesn't count: that is the careful reading.
    if lock.read_to_string(&mut text).is_err() { "!".to_owned() } else { text }
}

fn pid_in(lock: &File) -> Option<u32> {
    text_of(lock).trim_end_matches('!').trim().parse().ok()
}

#[cfg(test)]
mod tests;
