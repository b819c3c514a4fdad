//! An answer whose pieces are in the ledger until they are sent.

use super::HeldTurn;
use crate::errors::Refusal;
use crate::ledger::{Call, Peer};
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Sleep, sleep};
use tokio_util::sync::WaitForCancellationFutureOwned;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::HeaderMap;

/// A body of a call that is in the ledger.
pub(super) struct Counted {
    body: Body,
    call: Arc<Call>,
    turn: Option<HeldTurn>,
    ends: Ends,
    ended: bool,
}

/// When an answer ends, if it doesn't end by itself.
pub(super) enum Ends {
    WithItsMessage,
    After(Duration, Pin<Box<Sleep>>),
    /// When its connection is old.
    WithConnection(Pin<Box<WaitForCancellationFutureOwned>>),
}

impl Ends {
    pub(super) fn after(lasts: Duration) -> Self {
        Self::After(lasts, Box::pin(sleep(lasts)))
    }

    pub(super) fn with_connection(peer: &Peer) -> Self {
        Self::WithConnection(Box::pin(peer.old().clone().cancelled_owned()))
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Refusal> {
        match self {
            Self::WithItsMessage => Poll::Pending,
            Self::After(lasts, timer) => {
                timer.as_mut().poll(context).map(|()| Refusal::ReflectionEnds { limit: *lasts })
            }
            Self::WithConnection(old) => old.as_mut().poll(context).map(|()| Refusal::ConnectionAged),
        }
    }
}

impl Counted {
    pub(super) fn new(body: Body, call: Arc<Call>, turn: Option<HeldTurn>, ends: Ends) -> Self {
        Self { body, call, turn, ends, ended: false }
    }

    fn end(&mut self, why: Refusal) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        self.ended = true;
        let mut trailers = HeaderMap::new();
        let said = Status::from(why).add_header(&mut trailers);
        Poll::Ready(Some(said.map(|()| Frame::trailers(trailers))))
    }
}

impl http_body::Body for Counted {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        // Before the next piece: a stream on which there is always one ends as well.
        if let Poll::Ready(why) = self.ends.poll(context) {
            return self.end(why);
        }
        match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => {
                self.turn = None;
                Poll::Ready(Some(Ok(frame.map_data(|bytes| self.call.hand_over(bytes)))))
            }
            end => end,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
