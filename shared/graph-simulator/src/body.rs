//! Response bodies: sent whole, byte by byte, or broken off in the middle.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::{Sleep, sleep};

pub(crate) enum AnswerBody {
    Whole(Bytes),
    Drip {
        rest: Bytes,
        pause: Duration,
        sleep: Pin<Box<Sleep>>,
    },
    Half {
        rest: Bytes,
        flushed: bool,
    },
}

impl AnswerBody {
    pub(crate) fn drip(rest: Bytes, pause: Duration) -> Self {
        let sleep = Box::pin(sleep(pause));
        Self::Drip { rest, pause, sleep }
    }

    pub(crate) fn half(whole: &Bytes) -> Self {
        let rest = whole.slice(..whole.len() / 2);
        Self::Half {
            rest,
            flushed: false,
        }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match self.get_mut() {
            Self::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::Drip { rest, .. } if rest.is_empty() => Poll::Ready(None),
            Self::Drip {
                rest,
                pause,
                sleep: waiting,
            } => {
                if waiting.as_mut().poll(context).is_pending() {
                    return Poll::Pending;
                }
                *waiting = Box::pin(sleep(*pause));
                Poll::Ready(Some(Ok(Frame::data(rest.split_to(1)))))
            }
            Self::Half { rest, .. } if !rest.is_empty() => {
                Poll::Ready(Some(Ok(Frame::data(std::mem::take(rest)))))
            }
            // The first half must be sent before the connection breaks.
            Self::Half { flushed, .. } if !*flushed => {
                *flushed = true;
                context.waker().wake_by_ref();
                Poll::Pending
            }
            Self::Half { .. } => Poll::Ready(Some(Err(io::ErrorKind::BrokenPipe.into()))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_empty(),
            Self::Drip { rest, .. } => rest.is_empty(),
            Self::Half { .. } => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Drip { rest, .. } => SizeHint::with_exact(rest.len() as u64),
            Self::Half { .. } => SizeHint::default(),
        }
    }
}
