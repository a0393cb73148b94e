//! A connection that may be reset in the middle.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use super::store::Store;

pub(super) struct Connection {
    stream: TcpStream,
    store: Arc<Store>,
    /// Bytes from the client so far.
    read: u64,
}

impl Connection {
    pub fn new(stream: TcpStream, store: Arc<Store>) -> Self {
        Connection { stream, store, read: 0 }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.read += (buffer.filled().len() - before) as u64;
        {
            let mut faults = self.store.faults();
            if faults.resets > 0 && self.read >= faults.reset_after {
                faults.resets -= 1;
                // No time to say goodbye: the client gets a reset.
                #[expect(deprecated, reason = "blocks only with a time to linger")]
                let _set = self.stream.set_linger(Some(Duration::ZERO));
                return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
            }
        }
        polled
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
