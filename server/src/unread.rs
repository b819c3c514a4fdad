//! The rest of a request that is refused before anybody has read it.

use http_body::Body as _;
use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;
use tonic::body::Body;
use tonic::codegen::http::Request;

/// So much is read, at most. What a caller of ours sends is shorter.
const MOST: usize = 64 * 1024;
/// And for so long.
const LONGEST: Duration = Duration::from_secs(1);

/// Reads the rest of a request away, so that the answer comes after it.
///
/// A stream that is answered before its request has ended is reset, and h2 closes a connection that
/// it had to reset too often: one refused caller would take all others with it that share the
/// connection.
pub(crate) async fn read_away(request: Request<Body>) {
    let mut body = request.into_body();
    let whole = async {
        let mut left = MOST;
        while let Some(Ok(frame)) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
            match left.checked_sub(frame.data_ref().map_or(0, bytes::Bytes::len)) {
                Some(less) => left = less,
                None => return,
            }
        }
    };
    // Whoever sends more, or more slowly, is no caller of ours.
    let _ = tokio::time::timeout(LONGEST, whole).await;
}
