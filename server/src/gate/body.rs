//! An answer whose pieces are in the ledger until they are sent.

use super::{HeldTurn, lasted};
use crate::ledger::Call;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Sleep, sleep};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::HeaderMap;

/// A body of a call that is in the ledger.
pub(super) struct Counted {
    body: Body,
    call: Arc<Call>,
    turn: Option<HeldTurn>,
    /// When the stream ends in any case.
    end: Option<Pin<Box<Sleep>>>,
    ended: bool,
}

impl Counted {
    pub(super) fn new(body: Body, call: Arc<Call>, turn: Option<HeldTurn>, lasts: Option<Duration>) -> Self {
        Self { body, call, turn, end: lasts.map(|lasts| Box::pin(sleep(lasts))), ended: false }
    }

    fn end(&mut self) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        self.ended = true;
        let mut trailers = HeaderMap::new();
        let said = Status::from(lasted()).add_header(&mut trailers);
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
        match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => {
                self.turn = None;
                Poll::Ready(Some(Ok(frame.map_data(|bytes| self.call.hand_over(bytes)))))
            }
            Poll::Ready(end) => Poll::Ready(end),
            Poll::Pending => match self.end.as_mut().map(|end| end.as_mut().poll(context)) {
                Some(Poll::Ready(())) => self.end(),
                _ => Poll::Pending,
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
