//! A stream that fails when its peer does not accept the written bytes within a time limit.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// Fails a write when bytes have stayed unsent for `limit`, counted from the first write that the peer did not accept.
pub(crate) struct WriteDeadline<S> {
    stream: S,
    limit: Duration,
    deadline: Option<Pin<Box<Sleep>>>,
}

impl<S> WriteDeadline<S> {
    pub(crate) fn new(stream: S, limit: Duration) -> Self {
        Self {
            stream,
            limit,
            deadline: None,
        }
    }

    /// Fails a write that is still pending at the deadline.
    ///
    /// A peer that accepts a few bytes now and then does not move the deadline; only a flush does, once everything is
    /// sent.
    fn in_time<T>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            return written;
        }
        let limit = self.limit;
        let deadline = self.deadline.get_or_insert_with(|| Box::pin(sleep(limit)));
        ready!(deadline.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for WriteDeadline<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WriteDeadline<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.in_time(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.in_time(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        if flushed.is_ready() {
            self.deadline = None;
        }
        self.in_time(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let closed = Pin::new(&mut self.stream).poll_shutdown(context);
        self.in_time(context, closed)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio::time::interval;

    use super::*;

    /// Reads one byte every `seconds` until the stream ends.
    async fn drip(mut stream: DuplexStream, seconds: u64) {
        let mut ticks = interval(Duration::from_secs(seconds));
        while matches!(stream.read(&mut [0]).await, Ok(1)) {
            ticks.tick().await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_trickling_reader_does_not_extend_the_write_deadline() {
        for (seconds, bytes, in_time) in [(1, 9, true), (1, 20, false), (4, 2, true), (4, 9, false)]
        {
            let (ours, theirs) = duplex(1);
            tokio::spawn(drip(theirs, seconds));
            let mut stream = WriteDeadline::new(ours, Duration::from_secs(10));
            let written = stream.write_all(&vec![0; bytes]).await;
            let kind = written.map_err(|error| error.kind());
            let expected = if in_time {
                Ok(())
            } else {
                Err(io::ErrorKind::TimedOut)
            };
            assert_eq!(kind, expected, "{bytes} bytes, one in {seconds} s");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn each_flushed_answer_gets_a_new_write_deadline() {
        let (ours, theirs) = duplex(1);
        tokio::spawn(drip(theirs, 1));
        let mut stream = WriteDeadline::new(ours, Duration::from_secs(10));
        for _ in 0..5 {
            stream.write_all(&[0; 6]).await.unwrap();
            stream.flush().await.unwrap();
        }
    }
}
