//! Gzip on all cores: bytes in, one valid gzip member out.
//!
//! The input is cut into chunks, each is deflated for itself and ended on a byte boundary (sync flush),
//! and the checksums are combined. So the output is what any gunzip reads, it doesn't depend on how many
//! threads there were, and the same input gives the same bytes: an upload that was killed can go on.

use std::{
    collections::VecDeque,
    io::{self, Write},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::JoinHandle,
};

use flate2::{Compress, Compression, FlushCompress, Status};

/// How many bytes are deflated at once. Part of the output's form: changing it changes the bytes.
const CHUNK: usize = 1_048_576;
/// How many bytes of chunks are held at once, packed ones included, however many cores there are.
const HELD: usize = 48 << 20;
/// Level 3: 63 MB/s on a core where level 6 makes 13, for the same size. Part of the form, too.
const LEVEL: u32 = 3;
/// Deflate, no name, no time, unknown system.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
/// An empty last block.
const LAST_BLOCK: [u8; 2] = [3, 0];

struct Job {
    input: Vec<u8>,
    reply: SyncSender<io::Result<Done>>,
}

struct Done {
    output: Vec<u8>,
    crc: crc32fast::Hasher,
    /// The chunk's buffer, for the next one.
    spare: Vec<u8>,
}

/// A writer that compresses on several threads. Call [`finish`](Self::finish), or the output has no end.
pub struct Gzip<W: Write> {
    output: W,
    chunk: Vec<u8>,
    spare: Vec<Vec<u8>>,
    jobs: Option<SyncSender<Job>>,
    /// The chunks under way, in order.
    pending: VecDeque<Receiver<io::Result<Done>>>,
    depth: usize,
    crc: crc32fast::Hasher,
    length: u64,
    threads: Vec<JoinHandle<()>>,
}

impl<W: Write> Gzip<W> {
    /// Begins a member. At most `2 * threads` chunks are held, and no more than fit into 48 MiB; so many
    /// threads there are at most.
    pub fn new(mut output: W, threads: usize) -> io::Result<Self> {
        let (threads, depth) = bounded(threads);
        let (jobs, receiver) = sync_channel::<Job>(depth);
        let receiver = Arc::new(Mutex::new(receiver));
        let threads = (0..threads)
            .map(|_| {
                let receiver = receiver.clone();
                std::thread::Builder::new().name("gzip".into()).spawn(move || work(&receiver))
            })
            .collect::<io::Result<Vec<_>>>()?;
        output.write_all(&HEADER)?;
        Ok(Gzip {
            output,
            chunk: Vec::with_capacity(CHUNK),
            spare: Vec::new(),
            jobs: Some(jobs),
            pending: VecDeque::new(),
            depth,
            crc: crc32fast::Hasher::new(),
            length: 0,
            threads,
        })
    }

    /// Writes what is still held and the member's end.
    pub fn finish(mut self) -> io::Result<W> {
        if !self.chunk.is_empty() {
            self.submit()?;
        }
        while !self.pending.is_empty() {
            self.collect()?;
        }
        self.jobs = None;
        for thread in self.threads.drain(..) {
            thread.join().map_err(|_| io::Error::other("a compressing thread failed"))?;
        }
        self.output.write_all(&LAST_BLOCK)?;
        self.output.write_all(&self.crc.clone().finalize().to_le_bytes())?;
        // By the format: modulo 2^32.
        self.output.write_all(&(self.length as u32).to_le_bytes())?;
        Ok(self.output)
    }

    fn submit(&mut self) -> io::Result<()> {
        if self.pending.len() >= self.depth {
            self.collect()?;
        }
        let next = self.spare.pop().unwrap_or_else(|| Vec::with_capacity(CHUNK));
        let input = std::mem::replace(&mut self.chunk, next);
        self.length += input.len() as u64;
        let (reply, done) = sync_channel(1);
        let gone = || io::Error::other("the compressing threads are gone");
        self.jobs.as_ref().ok_or_else(gone)?.send(Job { input, reply }).map_err(|_| gone())?;
        self.pending.push_back(done);
        Ok(())
    }

    /// Waits for the oldest chunk and writes it.
    fn collect(&mut self) -> io::Result<()> {
        let Some(oldest) = self.pending.pop_front() else { return Ok(()) };
        let mut done =
            oldest.recv().map_err(|_| io::Error::other("a compressing thread failed"))??;
        self.output.write_all(&done.output)?;
        self.crc.combine(&done.crc);
        done.spare.clear();
        self.spare.push(done.spare);
        Ok(())
    }
}

impl<W: Write> Write for Gzip<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(CHUNK - self.chunk.len());
        self.chunk.extend_from_slice(&bytes[..taken]);
        if self.chunk.len() == CHUNK {
            self.submit()?;
        }
        Ok(taken)
    }

    /// Does nothing: a chunk is written when it is full, or the output would depend on the caller.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// How many threads work, and how many chunks are under way. What can't be compressed is held twice.
fn bounded(threads: usize) -> (usize, usize) {
    let fit = HELD / (2 * CHUNK);
    let threads = threads.clamp(1, fit);
    (threads, (threads * 2).min(fit))
}

fn work(jobs: &Mutex<Receiver<Job>>) {
    let mut deflate = Compress::new(Compression::new(LEVEL), false);
    loop {
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Job { input, reply }) = job else { return };
        // Whoever asked may be gone; then so will be the channel of jobs.
        let _gone = reply.send(deflate_chunk(&mut deflate, input));
    }
}

fn deflate_chunk(deflate: &mut Compress, input: Vec<u8>) -> io::Result<Done> {
    deflate.reset();
    let mut crc = crc32fast::Hasher::new();
    crc.update(&input);
    let mut output = Vec::with_capacity(input.len() / 2 + 1024);
    loop {
        let rest = &input[deflate.total_in() as usize..];
        let status = deflate
            .compress_vec(rest, &mut output, FlushCompress::Sync)
            .map_err(io::Error::other)?;
        // Room that was left over says that the flush is complete.
        if deflate.total_in() as usize == input.len() && output.len() < output.capacity() {
            break;
        }
        if status == Status::StreamEnd {
            return Err(io::Error::other("deflate ended before its input"));
        }
        output.reserve(input.len() / 4 + 1024);
    }
    Ok(Done { output, crc, spare: input })
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use proptest::prelude::*;

    use super::*;

    fn packed(input: &[u8], step: usize, threads: usize) -> Vec<u8> {
        let mut gzip = Gzip::new(Vec::new(), threads).unwrap();
        for piece in input.chunks(step) {
            gzip.write_all(piece).unwrap();
        }
        gzip.finish().unwrap()
    }

    fn unpacked(packed: &[u8]) -> Vec<u8> {
        // Not a decoder of several members: what follows the first would be left over.
        let mut reader = flate2::bufread::GzDecoder::new(packed);
        let mut output = Vec::new();
        reader.read_to_end(&mut output).unwrap();
        assert!(reader.into_inner().is_empty(), "more than one member");
        output
    }

    /// Bytes of which some can be compressed and some can't.
    fn mixed(length: usize, seed: u64) -> Vec<u8> {
        let mut state = seed | 1;
        (0..length)
            .map(|at| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                if at / 5_000 % 2 == 0 { b'a' + (at % 7) as u8 } else { state as u8 }
            })
            .collect()
    }

    /// Bytes that can't be compressed.
    fn random(length: usize) -> Vec<u8> {
        let mut state = 88_172_645_463_325_252_u64;
        (0..length)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                (state >> 32) as u8
            })
            .collect()
    }

    #[test]
    fn around_the_size_of_a_chunk() {
        for length in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 5 * CHUNK + 17] {
            let input = mixed(length, 7);
            let one = packed(&input, 65_536, 1);
            assert!(unpacked(&one) == input, "{length}");
            assert!(packed(&input, 1_000_003, 4) == one, "{length}: depends on threads or steps");
        }
    }

    #[test]
    fn what_cannot_be_compressed_grows_little() {
        let input = random(4 * CHUNK);
        let output = packed(&input, 65_536, 2);
        assert!(output.len() < input.len() + input.len() / 500, "{}", output.len());
        assert!(unpacked(&output) == input);
    }

    #[test]
    fn what_is_held_is_bounded_on_any_machine() {
        assert_eq!(bounded(0), (1, 2));
        assert_eq!(bounded(2), (2, 4));
        for cores in [8, 16, 64, 1024] {
            let (threads, depth) = bounded(cores);
            assert!(threads >= cores.min(16) && depth >= threads, "{cores}");
            let gzip = Gzip::new(Vec::new(), cores).unwrap();
            assert_eq!((gzip.threads.len(), gzip.depth), (threads, depth));
        }
        // Chunks under way, those to be used again, and the one that is filled.
        let input = random(CHUNK);
        let mut gzip = Gzip::new(io::sink(), 64).unwrap();
        let mut most = 0;
        for _ in 0..60 {
            gzip.write_all(&input).unwrap();
            let chunks = gzip.pending.len() + gzip.spare.len() + 1;
            most = most.max(chunks);
        }
        gzip.finish().unwrap();
        assert!(most * 2 * CHUNK <= HELD + 2 * CHUNK, "{most} chunks");
    }

    #[test]
    fn an_output_that_fails_is_said() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                if bytes.len() == HEADER.len() {
                    Ok(bytes.len())
                } else {
                    Err(io::Error::other("full"))
                }
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut gzip = Gzip::new(Full, 2).unwrap();
        let result = gzip.write_all(&mixed(20 * CHUNK, 1)).and_then(|()| gzip.finish().map(drop));
        assert_eq!(result.unwrap_err().to_string(), "full");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn any_bytes_come_back(length in 0_usize..3_000_000, seed: u64, step in 1_usize..300_000, threads in 1_usize..5) {
            let input = mixed(length, seed);
            prop_assert!(unpacked(&packed(&input, step, threads)) == input);
        }
    }
}
