//! The bytes of a pickle, and the strings and numbers that instructions are followed by.

use std::io::{BufRead, BufReader, Read};

use segvol_base::printable;

use super::objects::{Long, Node};
use crate::region::{Region, RegionReader};

/// Longest text or byte string that is read.
const MAX_SHORT: u64 = 4096;

/// Longest line of protocol 0, such as a class name.
const MAX_LINE: u64 = 64 << 10;

/// The bytes of a pickle, from front to back.
pub(super) struct Input {
    reader: BufReader<RegionReader>,
    pub(super) at: u64,
    region: Region,
}

impl Input {
    pub(super) fn new(region: &Region) -> Self {
        Self { reader: BufReader::new(region.reader()), at: 0, region: region.clone() }
    }

    pub(super) fn exact<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let mut bytes = [0; N];
        self.reader.read_exact(&mut bytes).map_err(|error| self.failed(&error))?;
        self.at += N as u64;
        Ok(bytes)
    }

    pub(super) fn byte(&mut self) -> Result<u8, String> {
        Ok(self.exact::<1>()?[0])
    }

    fn failed(&self, error: &std::io::Error) -> String {
        match error.kind() {
            std::io::ErrorKind::UnexpectedEof => {
                format!("its pickle ends early, after {} bytes; the file may be truncated", self.region.length())
            }
            _ => error.to_string(),
        }
    }

    /// A byte string of a stated length: the bytes if it is short, otherwise its place.
    pub(super) fn string(&mut self, length: u64, is_text: bool) -> Result<Node, String> {
        let ends_early = || {
            let found = self.region.length().saturating_sub(self.at);
            format!("its pickle ends early: expected {length} bytes, found {found}; the file may be truncated")
        };
        let region = self.region.part(self.at, length).ok_or_else(ends_early)?;
        self.at += length;
        if length > MAX_SHORT {
            let buffered = (self.reader.buffer().len() as u64).min(length);
            self.reader.consume(buffered as usize);
            self.reader.get_mut().skip(length - buffered);
            return Ok(Node::Long(Box::new(Long { region, is_text })));
        }
        let mut bytes = vec![0; length as usize];
        self.reader.read_exact(&mut bytes).map_err(|error| self.failed(&error))?;
        if !is_text {
            return Ok(Node::Bytes(bytes.into()));
        }
        let text = String::from_utf8(bytes).map_err(|_| "its pickle has a text that is not UTF-8".to_owned())?;
        Ok(Node::Text(text.into()))
    }

    fn line_bytes(&mut self) -> Result<Vec<u8>, String> {
        let mut line = Vec::new();
        let count =
            (&mut self.reader).take(MAX_LINE).read_until(b'\n', &mut line).map_err(|error| self.failed(&error))?;
        self.at += count as u64;
        if line.pop() != Some(b'\n') {
            return Err("its pickle ends early, or a line of it is too long".to_owned());
        }
        Ok(line)
    }

    pub(super) fn line(&mut self) -> Result<String, String> {
        String::from_utf8(self.line_bytes()?).map_err(|_| "its pickle has a text that is not UTF-8".to_owned())
    }

    /// A text in Latin-1 with `\uXXXX` or `\UXXXXXXXX` for some characters, among them every backslash.
    pub(super) fn escaped_line(&mut self) -> Result<String, String> {
        let line: String = self.line_bytes()?.into_iter().map(char::from).collect();
        let mut parts = line.split('\\');
        let mut text = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let digits = match part.as_bytes().first() {
                Some(b'u') => part.get(1..5),
                Some(b'U') => part.get(1..9),
                _ => None,
            };
            let code = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok()).and_then(char::from_u32);
            let (digits, code) = digits.zip(code).ok_or("its pickle has an unknown escape in a text")?;
            text.push(code);
            text.push_str(&part[1 + digits.len()..]);
        }
        Ok(text)
    }

    pub(super) fn number(&mut self) -> Result<u32, String> {
        let line = self.line()?;
        line.trim_end().parse().map_err(|_| format!("its pickle has `{}` where a number belongs", printable(&line)))
    }
}
