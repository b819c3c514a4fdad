//! Who may read the metrics: whoever has the token of `--http-auth`.

use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, StatusCode};
use ring::digest::{SHA256, digest};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The longest token, in bytes.
const MAX_TOKEN_BYTES: usize = 4096;

/// A file with a token. It is read anew for each request, as it may be rotated.
#[derive(Clone, Debug)]
pub(crate) struct Bearer(Arc<Path>);

/// Why somebody doesn't get what it asks for.
pub(super) type Refused = (StatusCode, String);

impl Bearer {
    pub(crate) fn new(file: PathBuf) -> Self {
        Self(file.into())
    }

    /// Whether the request has the token.
    ///
    /// # Errors
    /// 401 without it; 503 while the file can't be read or has no token: then nobody has it.
    pub(super) async fn check(&self, headers: &HeaderMap) -> Result<(), Refused> {
        let file = self.0.display();
        let broken = |why: String| {
            tracing::warn!(%file, why, "nobody gets the metrics: the token of --http-auth can't be used");
            (StatusCode::SERVICE_UNAVAILABLE, "the token of --http-auth can't be used: see the log\n".to_owned())
        };
        let text = tokio::fs::read_to_string(&self.0).await.map_err(|error| broken(error.to_string()))?;
        let token = text.trim();
        if token.is_empty() || token.len() > MAX_TOKEN_BYTES {
            return Err(broken(format!("it has {} bytes; give one of 1 to {MAX_TOKEN_BYTES}", token.len())));
        }
        let shown = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()?.split_once(' '));
        let shown = shown.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        // How long it takes to compare two hashes says nothing of the token.
        let fits = |(_, shown): (&str, &str)| {
            digest(&SHA256, shown.trim().as_bytes()).as_ref() == digest(&SHA256, token.as_bytes()).as_ref()
        };
        if shown.is_some_and(fits) {
            return Ok(());
        }
        Err((StatusCode::UNAUTHORIZED, "send the token of --http-auth: \"authorization: Bearer TOKEN\"\n".to_owned()))
    }
}
