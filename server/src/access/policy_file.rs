//! The policy file: read at the start, and again when it changes.

use super::audit;
use crate::metrics::Metrics;
use leasehold_policy::{Glob, MAX_POLICY_BYTES, Policy};
use std::fs::File;
use std::io::Read as _;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How often the file is looked at. Projected volumes change their links, which not every watch
/// notices.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// The file, and what was read of it last.
#[derive(Debug)]
pub(super) struct PolicyFile {
    path: PathBuf,
    admins: Vec<Glob>,
    read: Mutex<Result<String, String>>,
}

/// Why a server doesn't start with a policy.
#[derive(Debug, thiserror::Error)]
#[error("the policy can't be used: {0}")]
pub(crate) struct BadPolicyFile(String);

impl PolicyFile {
    pub(super) fn new(path: PathBuf, admins: Vec<Glob>) -> Self {
        Self { path, admins, read: Mutex::new(Ok(String::new())) }
    }

    /// Reads the file for the first time.
    pub(super) fn load(&self) -> Result<Policy, BadPolicyFile> {
        let text = self.text();
        let policy = self.parse(&text);
        *self.last() = text;
        policy.map_err(BadPolicyFile)
    }

    /// The next policy that can be used. A broken one is told once: in the log, in the audit log
    /// and by a metric, and the one before stays.
    pub(super) async fn changed(&self, metrics: &Metrics) -> Policy {
        loop {
            tokio::time::sleep(LOOK_INTERVAL).await;
            let text = self.text();
            if *self.last() == text {
                continue;
            }
            let policy = self.parse(&text);
            *self.last() = text;
            metrics.policy_broken.set(i64::from(policy.is_err()));
            match policy {
                Ok(policy) => {
                    audit::policy_changed(&self.path);
                    metrics.policy_loads.inc();
                    return policy;
                }
                Err(why) => {
                    tracing::error!(why, "the policy file changed, and can't be used: the one before stays in force");
                    audit::policy_broken(&why);
                }
            }
        }
    }

    fn last(&self) -> std::sync::MutexGuard<'_, Result<String, String>> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn text(&self) -> Result<String, String> {
        let mut text = String::new();
        let read =
            File::open(&self.path).and_then(|file| file.take(MAX_POLICY_BYTES as u64 + 1).read_to_string(&mut text));
        read.map(|_| text).map_err(|error| format!("{}: {error}", self.path.display()))
    }

    fn parse(&self, text: &Result<String, String>) -> Result<Policy, String> {
        let text = text.as_ref().map_err(Clone::clone)?;
        let policy = Policy::parse(&self.path.display().to_string(), text).map_err(|error| error.to_string())?;
        Ok(policy.with_admins(&self.admins))
    }
}
