//! A listener whose connections are counted and may not be silent for long.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep};

use super::HttpLimits;

/// After a failed accept (no file handles left) the next try waits this long.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(200);

pub(super) struct Guarded {
    listener: TcpListener,
    places: Arc<Semaphore>,
    silence_max: Duration,
}

impl Guarded {
    pub(super) fn new(listener: TcpListener, limits: HttpLimits) -> Guarded {
        let places = limits.connections_max.clamp(1, Semaphore::MAX_PERMITS);
        Guarded { listener, places: Arc::new(Semaphore::new(places)), silence_max: limits.silence_max }
    }

    /// The next connection, as soon as there is a place for it. Safe to cancel.
    pub(super) async fn accept(&mut self) -> Connection {
        loop {
            let Ok(place) = self.places.clone().acquire_owned().await else {
                // The semaphore is never closed.
                sleep(ACCEPT_AGAIN_AFTER).await;
                continue;
            };
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    // Answers are small; waiting to fill a packet would only delay them.
                    let _ = stream.set_nodelay(true);
                    return Connection::new(stream, place, self.silence_max);
                }
                Err(error) => {
                    tracing::warn!(error = %error, "failed to accept a connection");
                    sleep(ACCEPT_AGAIN_AFTER).await;
                }
            }
        }
    }
}

pub(super) struct Connection {
    stream: TcpStream,
    silence: Pin<Box<Sleep>>,
    silence_max: Duration,
    _place: OwnedSemaphorePermit,
}

impl Connection {
    fn new(stream: TcpStream, place: OwnedSemaphorePermit, silence_max: Duration) -> Connection {
        Connection { stream, silence: Box::pin(sleep(silence_max)), silence_max, _place: place }
    }

    fn heard(&mut self) {
        let until = Instant::now() + self.silence_max;
        self.silence.as_mut().reset(until);
    }

    fn check_silence(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        ready!(self.silence.as_mut().poll(context));
        Poll::Ready(io::Error::from(io::ErrorKind::TimedOut))
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_read(context, buffer) {
            Poll::Ready(result) => {
                self.heard();
                Poll::Ready(result)
            }
            Poll::Pending => self.check_silence(context).map(Err),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.stream).poll_write(context, bytes) {
            Poll::Ready(result) => {
                self.heard();
                Poll::Ready(result)
            }
            Poll::Pending => self.check_silence(context).map(Err),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
