//! Buffers that are used again: a fresh one of some MiB costs a page fault for each of its pages, which is
//! more than it costs to copy a stream through it.

use std::{
    ops::{Deref, DerefMut},
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;

/// Buffers of one size. As many are kept as were in use at once.
#[derive(Debug, Clone)]
pub struct Buffers {
    size: usize,
    free: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Buffers {
    /// None yet.
    pub fn of(size: usize) -> Self {
        Buffers { size, free: Arc::default() }
    }

    /// How many bytes each holds.
    pub fn size(&self) -> usize {
        self.size
    }

    /// One of them. What is in it is nobody's business.
    pub fn take(&self) -> Buffer {
        let used = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Buffer { bytes: used.unwrap_or_else(|| vec![0; self.size]), home: self.free.clone() }
    }
}

/// A buffer, which goes back to where it is from.
#[derive(Debug)]
pub struct Buffer {
    bytes: Vec<u8>,
    home: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Buffer {
    /// Its first bytes. It goes back when the last of them is dropped.
    pub fn into_bytes(self, count: usize) -> Bytes {
        Bytes::from_owner(self).slice(..count)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        self.home.lock().unwrap_or_else(PoisonError::into_inner).push(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_used_again_once_nobody_has_bytes_of_it() {
        let buffers = Buffers::of(8);
        let mut first = buffers.take();
        first[..3].copy_from_slice(b"abc");
        let place = first.as_ptr();
        let bytes = first.into_bytes(3);
        let again = bytes.clone();
        drop(bytes);
        assert_ne!(buffers.take().as_ptr(), place, "someone still has it");
        assert_eq!(&again[..], b"abc");
        drop(again);
        let held = [buffers.take(), buffers.take()];
        assert!(held.iter().any(|buffer| buffer.as_ptr() == place && buffer.len() == 8));
    }
}
