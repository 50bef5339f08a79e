//! A gzip stream of any number of members, read as one.

use std::io::{self, BufRead, Read};

use flate2::bufread::GzDecoder;

/// The first two bytes of every gzip member.
pub(super) const MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Reads the members one after the other.
///
/// Unlike flate2's `MultiGzDecoder`, this ends at bytes that begin no member (tape padding, for one) instead of failing
/// on them, and tells that they are there.
pub(super) struct Members<R: BufRead> {
    state: State<R>,
}

enum State<R: BufRead> {
    Inside(Box<GzDecoder<R>>),
    Done { trailing: bool },
}

impl<R: BufRead> Members<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { state: State::Inside(Box::new(GzDecoder::new(reader))) }
    }

    /// Whether bytes that are no gzip member stand behind the last one.
    pub(super) fn has_trailing_bytes(&self) -> bool {
        matches!(self.state, State::Done { trailing: true })
    }
}

impl<R: BufRead> Read for Members<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            let State::Inside(decoder) = &mut self.state else { return Ok(0) };
            let read = decoder.read(buffer)?;
            if read > 0 {
                return Ok(read);
            }
            let State::Inside(decoder) = std::mem::replace(&mut self.state, State::Done { trailing: false }) else {
                return Ok(0);
            };
            let mut reader = decoder.into_inner();
            let next = reader.fill_buf()?;
            // A buffer that ends after one byte of the magic number is told apart by that byte alone.
            if next.is_empty() {
                return Ok(0);
            }
            if next[0] != MAGIC[0] || next.get(1).is_some_and(|&byte| byte != MAGIC[1]) {
                self.state = State::Done { trailing: true };
                return Ok(0);
            }
            self.state = State::Inside(Box::new(GzDecoder::new(reader)));
        }
    }
}
