//! A folder and files that nobody else can read, and that are what they seem to be.

use super::{StateFileError, failed};
use rustix::fs::OFlags;
use std::fs::{self, File, FileType, Metadata, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// No state is longer: 100,000 candidacies with the longest values take two thirds of it.
pub(super) const MAX_STATE_BYTES: u64 = 1 << 30;
/// The rights of everybody but the owner, and of those who aren't even in its group.
const NOT_OWNER: u32 = 0o077;
const OTHERS: u32 = 0o007;

/// Takes away the rights that others have to the folder.
pub(super) fn close_folder(dir: &Path) -> Result<(), StateFileError> {
    let mode = fs::metadata(dir).map_err(failed("read", dir))?.permissions().mode();
    if mode & NOT_OWNER == 0 {
        return Ok(());
    }
    match fs::set_permissions(dir, Permissions::from_mode(0o700)) {
        Ok(()) => {
            let was = format!("{:04o}", mode & 0o7777);
            tracing::warn!(dir = %dir.display(), was, "others could use the data folder: its mode is 0700 now");
            Ok(())
        }
        // A volume that belongs to a group which this process is in.
        Err(_) if mode & OTHERS == 0 => Ok(()),
        Err(_) => Err(StateFileError::Exposed { path: dir.to_owned(), mode: mode & 0o7777 }),
    }
}

/// Takes away the rights that others have to the file with the keys.
pub(super) fn close_file(path: &Path) -> Result<(), StateFileError> {
    let mode = match fs::symlink_metadata(path) {
        Ok(there) => there.permissions().mode(),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(cause) => return Err(failed("read", path)(cause)),
    };
    if mode & NOT_OWNER == 0 {
        return Ok(());
    }
    let exposed = |_| StateFileError::Exposed { path: path.to_owned(), mode: mode & 0o7777 };
    fs::set_permissions(path, Permissions::from_mode(0o600)).map_err(exposed)?;
    let was = format!("{:04o}", mode & 0o7777);
    tracing::warn!(
        file = %path.display(), was,
        "others could read the keys: its mode is 0600 now. Whoever has read them can make tickets and task tokens; for new \
         keys stop the workers and this server, and delete the data folder"
    );
    Ok(())
}

/// Opens a file that is no link, no pipe and no device, or makes one.
pub(super) fn open_or_make(path: &Path) -> Result<File, StateFileError> {
    check(path)?;
    let mut how = OpenOptions::new();
    how.read(true).write(true).create(true).truncate(false).mode(0o600);
    opened(path, &how)
}

/// All of a file that is no link, no pipe and no device, and not too long.
pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>, StateFileError> {
    check(path)?;
    let file = match opened(path, OpenOptions::new().read(true)) {
        Err(StateFileError::Io { cause, .. }) if cause.kind() == ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let too_long = |bytes: u64| StateFileError::Damaged {
        path: path.to_owned(),
        why: format!("it has {bytes} bytes, and no state is longer than {MAX_STATE_BYTES}"),
    };
    let length = file.metadata().map_err(failed("read", path))?.len();
    if length > MAX_STATE_BYTES {
        return Err(too_long(length));
    }
    let mut bytes = Vec::new();
    // It may grow while it is read.
    file.take(MAX_STATE_BYTES + 1).read_to_end(&mut bytes).map_err(failed("read", path))?;
    if bytes.len() as u64 > MAX_STATE_BYTES { Err(too_long(bytes.len() as u64)) } else { Ok(Some(bytes)) }
}

/// Opens it without waiting for whoever may be at its other end.
fn opened(path: &Path, how: &OpenOptions) -> Result<File, StateFileError> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits();
    let flags = i32::try_from(flags).map_err(|_| failed("open", path)(io::ErrorKind::Unsupported.into()))?;
    let file = how.clone().custom_flags(flags).open(path).map_err(failed("open", path))?;
    let metadata = file.metadata().map_err(failed("read", path))?;
    judge(path, &metadata).map(|()| file)
}

fn check(path: &Path) -> Result<(), StateFileError> {
    match fs::symlink_metadata(path) {
        Ok(metadata) => judge(path, &metadata),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(cause) => Err(failed("read", path)(cause)),
    }
}

fn judge(path: &Path, metadata: &Metadata) -> Result<(), StateFileError> {
    let what = if metadata.is_file() && metadata.nlink() < 2 { return Ok(()) } else { kind(metadata.file_type()) };
    Err(StateFileError::NotAFile { path: path.to_owned(), what })
}

fn kind(kind: FileType) -> &'static str {
    if kind.is_symlink() {
        "a symbolic link"
    } else if kind.is_dir() {
        "a folder"
    } else if kind.is_fifo() {
        "a pipe"
    } else if kind.is_file() {
        "a file that has other names (hard links)"
    } else {
        "a device or a socket"
    }
}
