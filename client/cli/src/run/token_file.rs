//! The file that holds the newest task token for the command.

use std::fs::Permissions;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tempfile::{NamedTempFile, TempDir};

/// A file that only this user can read, in a directory of its own. Readers see the old token or the new one, never a part.
#[derive(Debug)]
pub(crate) struct TokenFile {
    directory: TempDir,
}

impl TokenFile {
    /// Makes the directory and puts the first token into the file.
    pub(crate) fn new(token: &str) -> io::Result<Self> {
        let only_owner = Permissions::from_mode(0o700);
        let directory = tempfile::Builder::new().prefix("leasehold-").permissions(only_owner).tempdir()?;
        let file = Self { directory };
        file.replace(token)?;
        Ok(file)
    }

    /// The directory, to be removed by whoever outlives this process.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Where the command finds the token.
    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("task-token")
    }

    /// Puts a newer token in the place of the old one.
    pub(crate) fn replace(&self, token: &str) -> io::Result<()> {
        // Temporary files are made with mode 0600.
        let mut file = NamedTempFile::new_in(&self.directory)?;
        file.write_all(token.as_bytes())?;
        file.persist(self.path())?;
        Ok(())
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
    fn the_directory_goes_with_the_file() {
        let file = TokenFile::new("token").unwrap();
        let directory = file.directory().to_owned();
        drop(file);
        assert!(!directory.exists());
    }
}
