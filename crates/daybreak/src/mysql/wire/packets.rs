//! Packets, in and out. One that arrived lies where it was read to, in a buffer that is used again;
//! only one that is larger than that is put together in another.

use std::{io, ops::Range};

use mysql_async::{DriverError, Error};

use super::{
    link::{Link, closed},
    squeezed::Squeezed,
};
use crate::mysql::{ServerUrl, client::Said, url::LARGEST_PACKET};

/// The length and the sequence.
const HEADER: usize = 4;

/// A packet's part of this length isn't the last one.
pub(super) const LONGEST: usize = 0xFF_FFFF;

/// How much is read at once.
const BUFFER: usize = 256 << 10;

/// Room for large packets that is kept for the next one.
pub(super) const KEPT: usize = 4 << 20;

/// A connection as packets.
pub(super) struct Packets {
    /// None once it is lost.
    link: Option<Link>,
    squeezed: Option<Squeezed>,
    arrived: Arrived,
}

/// What has arrived.
struct Arrived {
    buffer: Vec<u8>,
    /// What isn't looked at yet.
    start: usize,
    end: usize,
    /// The number that the next packet should have; none where the frames around them are numbered.
    sequence: Option<u8>,
    /// Whether a part of the packet had another.
    out_of_order: bool,
    /// What is missing of a large packet's part, and whether it is the last one.
    missing: Option<(usize, bool)>,
    large: Vec<u8>,
    /// The last packet.
    packet: Place,
}

enum Place {
    Buffer(Range<usize>),
    Large,
}

impl Packets {
    pub(super) fn new(link: Link) -> Self {
        Packets { link: Some(link), squeezed: None, arrived: Arrived::new() }
    }

    fn link(&mut self) -> Said<&mut Link> {
        self.link.as_mut().ok_or_else(|| DriverError::ConnectionClosed.into())
    }

    /// Goes on with TLS.
    pub(super) async fn encrypt(&mut self, url: &ServerUrl) -> Said<()> {
        if self.arrived.start < self.arrived.end {
            // Somebody on the way would have it taken for what came over TLS.
            return Err(io::Error::other("the server spoke before TLS was agreed on").into());
        }
        let link = self.link.take().ok_or(DriverError::ConnectionClosed)?;
        self.link = Some(link.encrypted(url).await?);
        Ok(())
    }

    /// Goes on compressed.
    pub(super) fn squeeze(&mut self) {
        self.squeezed = Some(Squeezed::new());
        self.arrived.sequence = None;
    }

    pub(super) fn is_private(&self) -> bool {
        self.link.as_ref().is_some_and(Link::is_private)
    }

    /// Another command begins.
    pub(super) fn begin(&mut self) {
        match &mut self.squeezed {
            Some(squeezed) => squeezed.begin(),
            None => self.arrived.sequence = Some(0),
        }
    }

    /// Sends a packet. Dropped half-way, or after an error, the connection is of no more use.
    pub(super) async fn send(&mut self, payload: &[u8]) -> Said<()> {
        if payload.len() > LARGEST_PACKET {
            return Err(DriverError::PacketTooLarge.into());
        }
        let mut bytes = Vec::with_capacity(payload.len() + payload.len() / LONGEST * HEADER + 4);
        let mut sequence = self.arrived.sequence.unwrap_or(0);
        let mut rest = payload;
        loop {
            let (part, after) = rest.split_at(rest.len().min(LONGEST));
            bytes.extend_from_slice(&(part.len() as u32).to_le_bytes()[..3]);
            bytes.push(sequence);
            bytes.extend_from_slice(part);
            sequence = sequence.wrapping_add(1);
            rest = after;
            if part.len() < LONGEST {
                break;
            }
        }
        match &mut self.squeezed {
            Some(squeezed) => bytes = squeezed.frames(&bytes)?,
            None => self.arrived.sequence = Some(sequence),
        }
        let sent = self.link()?.write(&bytes).await;
        self.noted(sent.map_err(Error::from))
    }

    /// Waits for the next packet. Dropped half-way, it goes on where it was.
    pub(super) async fn arrive(&mut self) -> Said<()> {
        while !self.is_here()? {
            let arriving = async {
                let link = self.link.as_mut().ok_or(DriverError::ConnectionClosed)?;
                let room = self.arrived.room();
                let read = match &mut self.squeezed {
                    Some(squeezed) => squeezed.read(link, room).await?,
                    None => link.read(room).await?,
                };
                if read == 0 { Err(closed()) } else { Ok(read) }
            };
            let read = arriving.await;
            self.arrived.end += self.noted(read)?;
        }
        Ok(())
    }

    /// Takes the next packet, if all of it has arrived.
    pub(super) fn is_here(&mut self) -> Said<bool> {
        let taken = self.arrived.take();
        self.noted(taken)
    }

    /// The packet that was taken last.
    pub(super) fn packet(&self) -> &[u8] {
        match &self.arrived.packet {
            Place::Buffer(range) => &self.arrived.buffer[range.clone()],
            Place::Large => &self.arrived.large,
        }
    }

    /// Cuts the connection.
    pub(super) fn cut(&mut self) {
        self.link = None;
    }

    /// A connection that broke isn't held any longer.
    fn noted<T>(&mut self, done: Said<T>) -> Said<T> {
        if done.is_err() {
            self.cut();
        }
        done
    }

    /// The same connection, which isn't here any more; none if it is lost.
    pub(super) fn take_over(&mut self) -> Option<Self> {
        let link = Some(self.link.take()?);
        let arrived = Arrived { buffer: Vec::new(), ..Arrived::new() };
        Some(Packets { link, squeezed: self.squeezed.take(), arrived })
    }

    /// Ends the connection.
    pub(super) async fn shut(&mut self) -> Said<()> {
        Ok(self.link()?.shut().await?)
    }
}

impl Arrived {
    fn new() -> Self {
        Arrived {
            buffer: vec![0; BUFFER],
            start: 0,
            end: 0,
            sequence: Some(0),
            out_of_order: false,
            missing: None,
            large: Vec::new(),
            packet: Place::Buffer(0..0),
        }
    }

    /// Where to read to; there is always some room while a packet isn't here.
    fn room(&mut self) -> &mut [u8] {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        &mut self.buffer[self.end..]
    }

    /// The length and the number of the part that comes next.
    fn header(&self) -> Option<(usize, u8)> {
        let &[a, b, c, sequence] = self.buffer[self.start..self.end].first_chunk::<HEADER>()?;
        Some((u32::from_le_bytes([a, b, c, 0]) as usize, sequence))
    }

    fn pass_header(&mut self, sequence: u8) {
        self.start += HEADER;
        if let Some(wanted) = &mut self.sequence {
            self.out_of_order |= sequence != *wanted;
            *wanted = wanted.wrapping_add(1);
        }
    }

    fn take(&mut self) -> Said<bool> {
        loop {
            let Some((missing, last)) = &mut self.missing else {
                let Some((length, sequence)) = self.header() else { return Ok(false) };
                if HEADER + length <= BUFFER {
                    if self.end - self.start < HEADER + length {
                        return Ok(false);
                    }
                    self.pass_header(sequence);
                    self.packet = Place::Buffer(self.start..self.start + length);
                    self.start += length;
                    return self.in_order();
                }
                self.large.clear();
                self.large.shrink_to(KEPT);
                self.begin_part(length, sequence)?;
                continue;
            };
            let part = (*missing).min(self.end - self.start);
            self.large.extend_from_slice(&self.buffer[self.start..self.start + part]);
            self.start += part;
            *missing -= part;
            if *missing > 0 {
                return Ok(false);
            }
            if *last {
                self.missing = None;
                self.packet = Place::Large;
                return self.in_order();
            }
            let Some((length, sequence)) = self.header() else { return Ok(false) };
            self.begin_part(length, sequence)?;
        }
    }

    fn begin_part(&mut self, length: usize, sequence: u8) -> Said<()> {
        if self.large.len() + length > LARGEST_PACKET {
            return Err(DriverError::PacketTooLarge.into());
        }
        self.pass_header(sequence);
        self.missing = Some((length, length < LONGEST));
        Ok(())
    }

    /// Of a packet that is complete.
    fn in_order(&mut self) -> Said<bool> {
        let first = match &self.packet {
            Place::Buffer(range) => self.buffer[range.clone()].first(),
            Place::Large => self.large.first(),
        };
        // A server that ends a connection says so at any time.
        if self.out_of_order && first != Some(&0xFF) {
            return Err(io::Error::other("packets out of order").into());
        }
        self.out_of_order = false;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The parts of a packet as a server sends them.
    fn parts(payload: &[u8], mut sequence: u8) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut rest = payload;
        loop {
            let (part, after) = rest.split_at(rest.len().min(LONGEST));
            bytes.extend_from_slice(&(part.len() as u32).to_le_bytes()[..3]);
            bytes.push(sequence);
            bytes.extend_from_slice(part);
            (rest, sequence) = (after, sequence.wrapping_add(1));
            if part.len() < LONGEST {
                return bytes;
            }
        }
    }

    /// Packets as they come out, when bytes come in pieces of a length.
    fn taken(mut bytes: &[u8], at_once: usize) -> Said<Vec<Vec<u8>>> {
        let mut arrived = Arrived::new();
        let mut packets = Vec::new();
        loop {
            while arrived.take()? {
                packets.push(match &arrived.packet {
                    Place::Buffer(range) => arrived.buffer[range.clone()].to_vec(),
                    Place::Large => arrived.large.clone(),
                });
            }
            if bytes.is_empty() {
                return Ok(packets);
            }
            let room = arrived.room();
            assert!(!room.is_empty());
            let length = bytes.len().min(at_once).min(room.len());
            room[..length].copy_from_slice(&bytes[..length]);
            arrived.end += length;
            bytes = &bytes[length..];
        }
    }

    #[test]
    fn packets_of_any_length_come_out_as_they_went_in() {
        let lengths =
            [0, 1, 250, 251, 65_535, 65_536, BUFFER - 5, BUFFER - 4, BUFFER - 3, BUFFER, 1 << 20];
        for length in lengths {
            let payload: Vec<u8> = (0..length).map(|n| (n % 251) as u8).collect();
            let mut bytes = parts(&payload, 0);
            bytes.extend(parts(b"after", 1));
            for at_once in [1, 3, 1000, BUFFER] {
                if at_once < 10 && length > 100_000 {
                    continue;
                }
                let packets = taken(&bytes, at_once).unwrap();
                assert!(packets == [&payload[..], b"after"], "{length}, {at_once} at once");
            }
        }
    }

    #[test]
    fn packets_of_16_mib_and_more_are_put_together() {
        for length in [LONGEST - 1, LONGEST, LONGEST + 1, 2 * LONGEST, 40 << 20] {
            let payload: Vec<u8> = (0..length).map(|n| (n % 251) as u8).collect();
            let mut bytes = parts(&payload, 0);
            let next = 1 + (length / LONGEST) as u8;
            bytes.extend(parts(b"after", next));
            let packets = taken(&bytes, BUFFER).unwrap();
            assert!(packets == [&payload[..], b"after"], "{length}");
        }
    }

    #[test]
    fn a_packet_that_isnt_whole_does_not_come_out() {
        for length in [5, 300_000, LONGEST, LONGEST + 10] {
            let mut bytes = parts(&vec![b'x'; length], 0);
            bytes.pop();
            assert!(taken(&bytes, BUFFER).unwrap().is_empty(), "{length}");
        }
    }

    #[test]
    fn only_an_error_may_come_out_of_order() {
        assert!(taken(&parts(b"row", 7), 100).is_err());
        assert_eq!(taken(&parts(b"\xFFkilled", 7), 100).unwrap(), [b"\xFFkilled"]);
    }

    #[test]
    fn nothing_larger_than_the_protocol_knows_is_kept() {
        let mut arrived = Arrived::new();
        arrived.large = vec![0; LARGEST_PACKET - 10];
        assert!(matches!(
            arrived.begin_part(11, 0),
            Err(Error::Driver(DriverError::PacketTooLarge))
        ));
    }
}
