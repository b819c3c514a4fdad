//! The body of a forwarded answer: when the connection breaks, or another replica is active, it
//! ends with a status that says so, and not with a reset that every client reads in its own way.

use crate::errors::Refusal;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::HeaderMap;

/// A forwarded body.
pub(crate) struct Guarded {
    body: Body,
    gone: Pin<Box<WaitForCancellationFutureOwned>>,
    ended: bool,
}

impl Guarded {
    pub(crate) fn new(body: Body, gone: CancellationToken) -> Self {
        Self { body, gone: Box::pin(gone.cancelled_owned()), ended: false }
    }

    fn end(&mut self, why: Refusal) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        self.ended = true;
        let status = Status::from(why);
        let mut trailers = HeaderMap::new();
        Poll::Ready(Some(match status.add_header(&mut trailers) {
            Ok(()) => Ok(Frame::trailers(trailers)),
            Err(status) => Err(status),
        }))
    }
}

impl http_body::Body for Guarded {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => {
                self.ended |= frame.is_trailers();
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => self.end(Refusal::ActiveBroke { why: error.message().to_owned() }),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => match self.gone.as_mut().poll(context) {
                Poll::Ready(()) => self.end(Refusal::ActiveChanged),
                Poll::Pending => Poll::Pending,
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}
