//! Reads a gzip stream of any number of members as one stream.

use std::io::{self, BufRead, Read};

use flate2::bufread::GzDecoder;

/// The first two bytes of every gzip member.
pub(crate) const MAGIC: [u8; 2] = [0x1f, 0x8b];

/// A reader of the unpacked contents of all members.
///
/// flate2's `MultiGzDecoder` fails if the bytes after a member do not start another member, as with tape padding. This
/// reader ends there instead, and [`has_trailing_bytes`](Self::has_trailing_bytes) reports the bytes.
pub(crate) struct Members<R: BufRead> {
    state: State<R>,
}

enum State<R: BufRead> {
    Inside(Box<GzDecoder<R>>),
    Done { trailing: bool },
}

impl<R: BufRead> Members<R> {
    pub(crate) fn new(reader: R) -> Self {
        Self { state: State::Inside(Box::new(GzDecoder::new(reader))) }
    }

    /// Whether the last member is followed by bytes that are not a gzip member. Valid after the reader has ended.
    pub(crate) fn has_trailing_bytes(&self) -> bool {
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
            // If the buffer has only one byte of the magic number, that byte alone decides.
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
