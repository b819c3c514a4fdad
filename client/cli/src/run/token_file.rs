//! The file that holds the newest task token for the command.

use std::fs::{DirBuilder, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::process::geteuid;
use tempfile::{NamedTempFile, TempDir};

/// The mode of a directory that nobody else can look into.
const ONLY_OWNER: u32 = 0o700;

/// A file that only this user can read, in a directory of its own. Readers see the old token or the
/// new one, never a part.
#[derive(Debug)]
pub(crate) struct TokenFile {
    directory: TempDir,
}

/// A task token is never longer: it holds three names of 256 bytes each and some numbers.
const LONGEST_TOKEN: usize = 4096;

impl TokenFile {
    /// Finds out whether tokens can be kept, and replaced. A file system without room makes files,
    /// and writes nothing into them; some tell that only when the file has to reach the disk.
    pub(crate) fn try_out() -> io::Result<()> {
        let blank = " ".repeat(LONGEST_TOKEN);
        let file = Self::new(&blank)?;
        file.written(&blank)?.as_file().sync_all()
    }

    /// Makes the directory and puts the first token into the file.
    pub(crate) fn new(token: &str) -> io::Result<Self> {
        let mode = Permissions::from_mode(ONLY_OWNER);
        let directory = tempfile::Builder::new().prefix("leasehold-").permissions(mode).tempdir()?;
        let file = Self { directory };
        file.replace(token)?;
        Ok(file)
    }

    /// The directory. The watchdog removes it if it outlives this process.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Where the command finds the token.
    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("task-token")
    }

    /// Puts a newer token in the place of the old one. A directory that somebody has removed
    /// meanwhile, such as a cleaner of old files, is made again.
    pub(crate) fn replace(&self, token: &str) -> io::Result<()> {
        self.check_directory()?;
        self.written(token)?.persist(self.path())?;
        Ok(())
    }

    /// A file beside it that holds this token.
    fn written(&self, token: &str) -> io::Result<NamedTempFile> {
        // Temporary files are made with mode 0600.
        let mut file = NamedTempFile::new_in(&self.directory)?;
        file.write_all(token.as_bytes())?;
        Ok(file)
    }

    /// Another user who has made a directory of that name meanwhile could show other tokens to the
    /// command.
    fn check_directory(&self) -> io::Result<()> {
        match self.directory().symlink_metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                DirBuilder::new().mode(ONLY_OWNER).create(self.directory())
            }
            Err(error) => Err(error),
            Ok(found) if found.is_dir() && found.uid() == geteuid().as_raw() && found.mode() & 0o077 == 0 => Ok(()),
            Ok(_) => Err(io::Error::other(format!(
                "{} was replaced by something that isn't this user's alone",
                self.directory().display()
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn only_the_owner_can_read_the_token_before_and_after_it_was_replaced() {
        let file = TokenFile::new("first").unwrap();
        assert_eq!(mode(file.directory()), 0o700);
        for token in ["first", "second"] {
            file.replace(token).unwrap();
            assert_eq!(fs::read_to_string(file.path()).unwrap(), token);
            assert_eq!(mode(&file.path()), 0o600);
            assert_eq!(fs::read_dir(file.directory()).unwrap().count(), 1, "nothing is left behind");
        }
    }

    #[test]
    fn a_directory_that_was_removed_is_made_again_for_the_owner_alone() {
        let file = TokenFile::new("first").unwrap();
        fs::remove_dir_all(file.directory()).unwrap();
        file.replace("second").unwrap();
        assert_eq!(fs::read_to_string(file.path()).unwrap(), "second");
        assert_eq!((mode(file.directory()), mode(&file.path())), (0o700, 0o600));
    }

    #[test]
    fn a_directory_that_others_can_write_to_gets_no_token() {
        let file = TokenFile::new("first").unwrap();
        fs::remove_dir_all(file.directory()).unwrap();
        fs::create_dir(file.directory()).unwrap();
        fs::set_permissions(file.directory(), Permissions::from_mode(0o777)).unwrap();
        let error = file.replace("second").unwrap_err().to_string();
        assert!(error.contains("isn't this user's alone"), "{error}");
        let elsewhere = TempDir::new().unwrap();
        fs::remove_dir_all(file.directory()).unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), file.directory()).unwrap();
        assert!(file.replace("third").is_err());
        assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
        fs::remove_file(file.directory()).unwrap();
    }

    #[test]
    fn the_directory_goes_with_the_file() {
        let file = TokenFile::new("token").unwrap();
        let directory = file.directory().to_owned();
        drop(file);
        assert!(!directory.exists());
    }
}
