//! A body that is taken in before it is handed on: whoever sends or reads slowly holds up no
//! connection that others use as well.

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::HeaderMap;

/// A body that is there.
#[derive(Debug, Default)]
pub(super) struct Whole {
    data: VecDeque<Bytes>,
    bytes: usize,
    trailers: Option<HeaderMap>,
}

/// Why a body can't be taken in.
#[derive(Debug)]
pub(super) enum NotWhole {
    /// It has more bytes than this.
    TooLong(usize),
    /// It broke off.
    Broken(Status),
}

impl Whole {
    /// Takes in all of a body that has no more than so many bytes.
    pub(super) async fn of(mut body: Body, most: usize) -> Result<Self, NotWhole> {
        let mut whole = Self::default();
        while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
            match frame.map_err(NotWhole::Broken)?.into_data() {
                Ok(data) => {
                    whole.bytes += data.len();
                    if whole.bytes > most {
                        return Err(NotWhole::TooLong(most));
                    }
                    whole.data.push_back(data);
                }
                Err(frame) => whole.trailers = frame.into_trailers().ok(),
            }
        }
        Ok(whole)
    }

    /// How many bytes it has.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl http_body::Body for Whole {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let data = self.data.pop_front().map(Frame::data);
        Poll::Ready(data.or_else(|| self.trailers.take().map(Frame::trailers)).map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.data.is_empty() && self.trailers.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn frames(body: Body) -> Vec<Frame<Bytes>> {
        let mut body = body;
        let mut frames = Vec::new();
        while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
            frames.push(frame.unwrap());
        }
        frames
    }

    fn body() -> Body {
        let trailers = HeaderMap::from_iter([("grpc-status".parse().unwrap(), "0".parse().unwrap())]);
        let data = VecDeque::from([Bytes::from_static(b"one"), Bytes::from_static(b"two")]);
        Body::new(Whole { data, bytes: 6, trailers: Some(trailers) })
    }

    #[tokio::test]
    async fn what_was_taken_in_is_handed_on_as_it_came() {
        let whole = Whole::of(body(), 6).await.unwrap();
        assert_eq!((whole.bytes(), whole.is_end_stream()), (6, false));
        let [one, two, trailers] = &frames(Body::new(whole)).await[..] else { panic!("three frames") };
        assert_eq!((&one.data_ref().unwrap()[..], &two.data_ref().unwrap()[..]), (&b"one"[..], &b"two"[..]));
        assert_eq!(trailers.trailers_ref().unwrap()["grpc-status"], "0");
        assert!(Whole::of(Body::empty(), 0).await.unwrap().is_end_stream());
    }

    #[tokio::test]
    async fn what_is_too_long_is_refused_when_that_is_known() {
        assert!(matches!(Whole::of(body(), 5).await, Err(NotWhole::TooLong(5))));
    }
}
