//! A stream that fails when its peer does not begin its next request, or finish the head of one, within a time limit.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// Times within which a peer must send something.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReadLimits {
    /// From the first byte of a head to its last; for the first head, from the beginning of the connection.
    pub(crate) head: Duration,
    /// From an answer to the first byte of the next head.
    pub(crate) idle: Duration,
}

/// What a server waits for; the server and its stream share it.
#[derive(Clone)]
pub(crate) struct Awaited(Arc<Mutex<(Part, Instant)>>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Head,
    NextRequest,
    /// The request is in the server's hands, which times its body.
    Nothing,
}

impl Awaited {
    pub(crate) fn first_head() -> Self {
        Self(Arc::new(Mutex::new((Part::Head, Instant::now()))))
    }

    /// Records that a whole head has arrived.
    pub(crate) fn nothing(&self) {
        *self.state() = (Part::Nothing, Instant::now());
    }

    /// Records that the request is answered.
    pub(crate) fn next_request(&self) {
        *self.state() = (Part::NextRequest, Instant::now());
    }

    /// Records that bytes have arrived.
    fn bytes(&self) {
        let mut state = self.state();
        if state.0 == Part::NextRequest {
            *state = (Part::Head, Instant::now());
        }
    }

    fn deadline(&self, limits: ReadLimits) -> Option<Instant> {
        let (part, since) = *self.state();
        match part {
            Part::Head => Some(since + limits.head),
            Part::NextRequest => Some(since + limits.idle),
            Part::Nothing => None,
        }
    }

    fn state(&self) -> MutexGuard<'_, (Part, Instant)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Fails a read that is pending when its limit is over.
pub(crate) struct ReadDeadline<S> {
    stream: S,
    limits: ReadLimits,
    awaited: Awaited,
    timer: Option<Pin<Box<Sleep>>>,
}

impl<S> ReadDeadline<S> {
    pub(crate) fn new(stream: S, limits: ReadLimits, awaited: Awaited) -> Self {
        Self {
            stream,
            limits,
            awaited,
            timer: None,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ReadDeadline<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if read.is_ready() {
            self.awaited.bytes();
            return read;
        }
        let Some(deadline) = self.awaited.deadline(self.limits) else {
            return Poll::Pending;
        };
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if timer.deadline() != deadline {
            timer.as_mut().reset(deadline);
        }
        ready!(timer.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ReadDeadline<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio::time::advance;

    use super::*;

    const LIMITS: ReadLimits = ReadLimits {
        head: Duration::from_secs(10),
        idle: Duration::from_secs(75),
    };

    /// Reads until the stream fails; returns how many bytes came, the error and the seconds that it took.
    async fn outlast<S: AsyncRead + Unpin>(stream: &mut S) -> (usize, io::ErrorKind, u64) {
        let begin = Instant::now();
        let mut count = 0;
        loop {
            match stream.read(&mut [0; 8]).await {
                Ok(more) => count += more,
                Err(error) => return (count, error.kind(), begin.elapsed().as_secs()),
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_may_be_idle_for_long_but_a_head_that_has_begun_must_come_soon() {
        let (ours, mut theirs) = duplex(64);
        let awaited = Awaited::first_head();
        let mut stream = ReadDeadline::new(ours, LIMITS, awaited.clone());
        // The first head is late.
        let timed_out = io::ErrorKind::TimedOut;
        assert_eq!(outlast(&mut stream).await, (0, timed_out, 10));
        // The server works for long on a request that came.
        awaited.nothing();
        let waiting = tokio::time::timeout(Duration::from_secs(1000), outlast(&mut stream));
        assert!(waiting.await.is_err());
        // Idle for 60 s, then a head that stops in the middle although a byte comes now and then.
        awaited.next_request();
        advance(Duration::from_secs(60)).await;
        let trickle = async {
            for _ in 0..3 {
                theirs.write_all(b"G").await.unwrap();
                tokio::time::sleep(Duration::from_secs(4)).await;
            }
        };
        let (came, ()) = tokio::join!(outlast(&mut stream), trickle);
        assert_eq!(came, (3, timed_out, 10));
        // Idle for too long.
        awaited.next_request();
        assert_eq!(outlast(&mut stream).await, (0, timed_out, 75));
    }
}
