//! What a request carries: bytes from memory or from a file, no faster than allowed.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use http_body::{Body, Frame, SizeHint};
use tokio::{
    io::{AsyncReadExt as _, AsyncSeekExt as _},
    time::Instant,
};

use super::Payload;

/// How many bytes are handed over at once.
const PIECE: usize = 65_536;

/// A bound on bytes a second, for all requests together.
#[derive(Debug)]
pub struct Bandwidth {
    per_second: u64,
    /// When the next byte may go.
    free: Mutex<Instant>,
}

impl Bandwidth {
    pub fn new(per_second: u64) -> Self {
        Bandwidth { per_second: per_second.max(1), free: Mutex::new(Instant::now()) }
    }

    /// How many bytes a second.
    pub fn per_second(&self) -> u64 {
        self.per_second
    }

    /// Waits until so many bytes may go.
    async fn take(&self, bytes: usize) {
        let turn = {
            let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
            let turn = (*free).max(Instant::now());
            *free = turn + Duration::from_secs_f64(bytes as f64 / self.per_second as f64);
            turn
        };
        tokio::time::sleep_until(turn).await;
    }
}

/// The body of a request.
pub fn body(payload: Payload, bandwidth: Option<Arc<Bandwidth>>) -> ByteStream {
    let (payload, bandwidth) = match (payload, bandwidth) {
        (Payload::Memory(bytes), None) => return ByteStream::from(bytes),
        other => other,
    };
    let length = payload.len();
    ByteStream::new(SdkBody::retryable(move || {
        let pieces = pieces(payload.clone());
        let bandwidth = bandwidth.clone();
        let paced = pieces.then(move |piece| {
            let bandwidth = bandwidth.clone();
            async move {
                if let (Ok(piece), Some(bandwidth)) = (&piece, bandwidth) {
                    bandwidth.take(piece.len()).await;
                }
                piece
            }
        });
        SdkBody::from_body_1_x(Sized { pieces: Mutex::new(Box::pin(paced)), left: length })
    }))
}

type Pieces = Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>;

fn pieces(payload: Payload) -> Pieces {
    match payload {
        Payload::Memory(bytes) => Box::pin(stream::unfold(bytes, |mut rest| async move {
            if rest.is_empty() {
                return None;
            }
            let piece = rest.split_to(rest.len().min(PIECE));
            Some((Ok(piece), rest))
        })),
        Payload::File { path, offset, length } => Box::pin(
            stream::once(async move {
                let mut file = tokio::fs::File::open(path).await?;
                file.set_max_buf_size(1 << 20);
                file.seek(io::SeekFrom::Start(offset)).await?;
                io::Result::Ok(tokio_util::io::ReaderStream::with_capacity(
                    file.take(length),
                    PIECE,
                ))
            })
            .flat_map(|opened| match opened {
                Ok(stream) => stream.left_stream(),
                Err(error) => stream::once(async { Err(error) }).right_stream(),
            }),
        ),
    }
}

/// A body whose length is known, so that it isn't sent in chunks.
struct Sized {
    /// A body must be `Sync`; only one task ever polls it.
    pieces: Mutex<Pieces>,
    left: u64,
}

impl Body for Sized {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let polled = {
            let mut pieces = self.pieces.lock().unwrap_or_else(PoisonError::into_inner);
            pieces.as_mut().poll_next(context)
        };
        match polled {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Some(Ok(piece))) => {
                self.left = self.left.saturating_sub(piece.len() as u64);
                Poll::Ready(Some(Ok(Frame::data(piece))))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(error))),
            Poll::Ready(None) if self.left > 0 => {
                self.left = 0;
                Poll::Ready(Some(Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "the file became shorter while it was sent",
                ))))
            }
            Poll::Ready(None) => Poll::Ready(None),
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
