//! The token that each call shows, out of a file that is replaced before the token runs out.

use super::tls;
use crate::clock::{self, Moment};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tonic::Status;
use tonic::codegen::http::HeaderValue;

/// What was read is used for so long.
const FRESH: Duration = Duration::from_secs(10);
/// A header may not be longer: what is longer is no token.
const MAX_BYTES: usize = 16 << 10;

/// A file with a token, and what was read of it last.
#[derive(Debug)]
pub(super) struct TokenFile {
    path: PathBuf,
    read: Mutex<Option<(Moment, HeaderValue)>>,
}

impl TokenFile {
    pub(super) fn new(path: PathBuf) -> Arc<Self> {
        Arc::new(Self { path, read: Mutex::new(None) })
    }

    /// `Bearer` and the token. A file that can't be read any more leaves the former token in use:
    /// the service says when that has run out.
    pub(super) async fn header(self: Arc<Self>) -> Result<HeaderValue, Status> {
        let known = self.known();
        if let Some((at, header)) = &known
            && clock::now().since(*at) < FRESH
        {
            return Ok(header.clone());
        }
        let this = Arc::clone(&self);
        let read = tokio::task::spawn_blocking(move || this.read()).await;
        match (read.unwrap_or_else(|error| Err(error.to_string())), known) {
            (Ok(header), _) => {
                *self.read.lock().unwrap_or_else(PoisonError::into_inner) = Some((clock::now(), header.clone()));
                Ok(header)
            }
            (Err(why), Some((_, header))) => {
                tracing::warn!(why, "the token can't be read again: the former one stays in use");
                Ok(header)
            }
            (Err(why), None) => Err(Status::unavailable(why)),
        }
    }

    /// What the file has now.
    pub(super) fn read(&self) -> Result<HeaderValue, String> {
        let path = self.path.display();
        let bytes = tls::read(&self.path)?;
        let token = bytes.trim_ascii();
        if token.is_empty() {
            return Err(format!("{path} is empty; it must have a token"));
        }
        if token.len() > MAX_BYTES || !token.iter().all(u8::is_ascii_graphic) {
            return Err(format!("{path} has no token: one is a line of visible characters, {MAX_BYTES} at most"));
        }
        let mut header =
            HeaderValue::from_bytes(&[b"Bearer ", token].concat()).map_err(|error| format!("{path}: {error}"))?;
        // It shows in no log.
        header.set_sensitive(true);
        Ok(header)
    }

    fn known(&self) -> Option<(Moment, HeaderValue)> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_has_one_token_and_the_former_one_is_used_while_it_has_none() {
        let path = std::env::temp_dir().join(format!("leasehold-token-{}", std::process::id()));
        let file = TokenFile::new(path.clone());
        assert!(Arc::clone(&file).header().await.unwrap_err().message().contains("can't read "));
        for (text, says) in [("", "is empty"), ("a b", "has no token"), ("\u{e4}", "has no token")] {
            std::fs::write(&path, text).unwrap();
            assert!(file.read().unwrap_err().contains(says), "{text:?}");
        }
        std::fs::write(&path, "one\n").unwrap();
        let header = Arc::clone(&file).header().await.unwrap();
        assert!(header == "Bearer one" && header.is_sensitive());
        std::fs::write(&path, "two").unwrap();
        assert_eq!(Arc::clone(&file).header().await.unwrap(), "Bearer one", "it was read a moment ago");
        *file.read.lock().unwrap() = Some((Moment::PAST, header));
        assert_eq!(Arc::clone(&file).header().await.unwrap(), "Bearer two");
        std::fs::remove_file(&path).unwrap();
        *file.read.lock().unwrap() = Some((Moment::PAST, "Bearer two".parse().unwrap()));
        assert_eq!(file.header().await.unwrap(), "Bearer two");
    }
}
