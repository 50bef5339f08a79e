//! The header of an `.npy` array.
//!
//! The header is a Python dictionary with three known keys. It is read here, and not by a crate, because those that exist bring a
//! general parser of Python's literals, and multiply sizes that a file states without looking for an overflow.
//!
//! # Source
//!
//! NumPy 2.3, `numpy/lib/_format_impl.py`, versions 1.0 to 3.0 of the format.

use std::iter::Peekable;
use std::str::CharIndices;

use segvol_base::printable;

use crate::element::Element;

/// Most axes of an array in NumPy 2.
const MAX_RANK: usize = 64;

/// Longest header that is read. One without structured types has less than 200 bytes.
const MAX_HEADER: usize = 64 << 10;

/// What an array contains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Contents {
    /// Numbers.
    Numbers { element: Element, big_endian: bool },
    /// Python objects, in a pickle.
    Objects,
}

/// An array's header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) contents: Contents,
    pub(crate) fortran_order: bool,
    pub(crate) shape: Vec<usize>,
    /// Bytes of the file before the data.
    pub(crate) length: usize,
}

impl Header {
    /// Reads the header at the start of a file.
    ///
    /// # Errors
    ///
    /// What was expected and what was found.
    pub(crate) fn read(file: &[u8]) -> Result<Self, String> {
        let no_array = || "expected a NumPy array; found other bytes".to_owned();
        let after = file.strip_prefix(b"\x93NUMPY").ok_or_else(no_array)?;
        let ends_early = || "the array's header ends early; the file may be truncated".to_owned();
        let (length, from) = match after {
            [1, _, a, b, ..] => (usize::from(u16::from_le_bytes([*a, *b])), 10),
            [2 | 3, _, a, b, c, d, ..] => (u32::from_le_bytes([*a, *b, *c, *d]) as usize, 12),
            [major, _, ..] if *major > 3 => {
                return Err(format!("expected version 1, 2 or 3 of NumPy's format; found {major}"));
            }
            _ => return Err(ends_early()),
        };
        if length > MAX_HEADER {
            return Err(format!("the array's header has {length} bytes; expected at most {MAX_HEADER}"));
        }
        let text = file.get(from..from + length).ok_or_else(ends_early)?;
        let text = str::from_utf8(text).map_err(|_| "the array's header is no text".to_owned())?;
        let entries = Literal::dictionary(text)
            .ok_or_else(|| format!("the array's header is damaged: `{}`", printable(text.trim_end())))?;
        let entry = |key: &str| {
            let found = entries.iter().find(|(name, _)| name == key).map(|(_, value)| value);
            found.ok_or_else(|| format!("the array's header has no `{key}`"))
        };
        let (Literal::Bool(fortran_order), Literal::Tuple(shape)) = (entry("fortran_order")?, entry("shape")?) else {
            return Err("the array's header is damaged".to_owned());
        };
        if shape.len() > MAX_RANK {
            return Err(format!("the array has {} axes; expected at most {MAX_RANK}", shape.len()));
        }
        let contents = match entry("descr")? {
            Literal::Text(description) => contents(description)?,
            _ => return Err("expected an array of numbers; found one of a structured type".to_owned()),
        };
        Ok(Self { contents, fortran_order: *fortran_order, shape: shape.clone(), length: from + length })
    }
}

fn contents(description: &str) -> Result<Contents, String> {
    let code = description.trim_start_matches(['<', '>', '=', '|']);
    if code == "O" {
        return Ok(Contents::Objects);
    }
    let element = Element::of_code(code)
        .ok_or_else(|| format!("expected an array of numbers; found one of the type `{}`", printable(description)))?;
    Ok(Contents::Numbers { element, big_endian: description.starts_with('>') })
}

/// A value in a header.
#[derive(Debug, Clone, PartialEq)]
enum Literal {
    Text(String),
    Bool(bool),
    Tuple(Vec<usize>),
    /// A list or anything else: the type of a structured array.
    Other,
}

impl Literal {
    /// `{'KEY': VALUE, …}`, with blanks and a comma after it or not.
    fn dictionary(text: &str) -> Option<Vec<(String, Self)>> {
        let mut reader = Reader { text, at: text.char_indices().peekable() };
        let mut entries = Vec::new();
        reader.take('{')?;
        while !reader.takes('}') {
            let key = reader.text()?;
            reader.take(':')?;
            entries.push((key, reader.value()?));
            if !reader.takes(',') {
                reader.take('}')?;
                break;
            }
        }
        reader.is_at_end().then_some(entries)
    }
}

struct Reader<'a> {
    text: &'a str,
    at: Peekable<CharIndices<'a>>,
}

impl Reader<'_> {
    fn blanks(&mut self) {
        while self.at.next_if(|(_, c)| c.is_ascii_whitespace()).is_some() {}
    }

    fn is_at_end(&mut self) -> bool {
        self.blanks();
        self.at.peek().is_none()
    }

    fn takes(&mut self, expected: char) -> bool {
        self.blanks();
        self.at.next_if(|(_, c)| *c == expected).is_some()
    }

    fn take(&mut self, expected: char) -> Option<()> {
        self.takes(expected).then_some(())
    }

    fn text(&mut self) -> Option<String> {
        self.blanks();
        let (_, quote) = self.at.next_if(|(_, c)| matches!(c, '\'' | '"'))?;
        let mut text = String::new();
        loop {
            match self.at.next()?.1 {
                '\\' => return None,
                c if c == quote => return Some(text),
                c => text.push(c),
            }
        }
    }

    fn word(&mut self) -> &str {
        self.blanks();
        let start = self.at.peek().map_or(self.text.len(), |(at, _)| *at);
        while self.at.next_if(|(_, c)| c.is_ascii_alphanumeric()).is_some() {}
        let end = self.at.peek().map_or(self.text.len(), |(at, _)| *at);
        &self.text[start..end]
    }

    fn value(&mut self) -> Option<Literal> {
        self.blanks();
        match self.at.peek()?.1 {
            '\'' | '"' => self.text().map(Literal::Text),
            '(' => self.tuple().map(Literal::Tuple),
            '[' => self.list(),
            _ => match self.word() {
                "True" => Some(Literal::Bool(true)),
                "False" => Some(Literal::Bool(false)),
                _ => None,
            },
        }
    }

    fn tuple(&mut self) -> Option<Vec<usize>> {
        self.take('(')?;
        let mut sizes = Vec::new();
        while !self.takes(')') {
            // Python 2 writes `7L`.
            sizes.push(self.word().trim_end_matches('L').parse().ok()?);
            if !self.takes(',') {
                self.take(')')?;
                break;
            }
        }
        Some(sizes)
    }

    /// Passes over the list of a structured type.
    fn list(&mut self) -> Option<Literal> {
        let mut depth = 0_usize;
        loop {
            match self.at.next()?.1 {
                '[' => depth += 1,
                ']' if depth == 1 => return Some(Literal::Other),
                ']' => depth -= 1,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A file of version 1 with this dictionary.
    pub(crate) fn file(dictionary: &str, data: &[u8]) -> Vec<u8> {
        let length = (dictionary.len() as u16).to_le_bytes();
        [b"\x93NUMPY\x01\x00", &length[..], dictionary.as_bytes(), data].concat()
    }

    #[test]
    fn headers_of_every_version_are_read() {
        let dictionary = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3, 4), }     \n";
        let header = Header::read(&file(dictionary, b"abc")).expect("a header");
        assert_eq!(header.contents, Contents::Numbers { element: Element::Float32, big_endian: false });
        assert_eq!((&header.shape[..], header.fortran_order), (&[2, 3, 4][..], false));
        assert_eq!(header.length, 10 + dictionary.len());
        let length = (dictionary.len() as u32).to_le_bytes();
        let wide = [b"\x93NUMPY\x02\x00", &length[..], dictionary.as_bytes()].concat();
        assert_eq!(Header::read(&wide).expect("a header").length, 12 + dictionary.len());
        for (text, shape) in [
            ("{\"shape\":(5L,),\"fortran_order\":True,\"descr\":\"|O\"}", vec![5]),
            ("{'shape': (), 'fortran_order': True, 'descr': '>i2'}", vec![]),
        ] {
            let header = Header::read(&file(text, &[])).expect("a header");
            assert_eq!((header.shape, header.fortran_order), (shape, true));
        }
    }

    #[test]
    fn damage_is_named_and_never_a_panic() {
        for (text, part) in [
            ("", "is damaged"),
            ("{'descr': '<f4', 'fortran_order': False, 'shape': (2, -3)}", "is damaged"),
            ("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999999,)}", "is damaged"),
            ("{'descr': '<f4', 'fortran_order': False, 'shape': 7}", "is damaged"),
            ("{'descr': '<f4', 'fortran_order': 'no', 'shape': (7,)}", "is damaged"),
            ("{'descr': '<f4', 'fortran_order': False}", "no `shape`"),
            ("{'descr': '<U8', 'fortran_order': False, 'shape': (7,)}", "the type `<U8`"),
            ("{'descr': [('a', '<f4'), ('b', [1])], 'fortran_order': False, 'shape': (7,)}", "structured"),
            ("{'descr': '<f4'", "is damaged"),
            ("{'descr", "is damaged"),
        ] {
            let error = Header::read(&file(text, &[])).expect_err("damaged");
            assert!(error.contains(part), "{text}: {error}");
        }
        for (bytes, part) in [
            (&b"PK\x03\x04"[..], "expected a NumPy array"),
            (b"\x93NUMPY\x01\x00\xff\x00{", "ends early"),
            (b"\x93NUMPY\x01", "ends early"),
            (b"\x93NUMPY\x09\x00\x00\x00", "found 9"),
            (b"\x93NUMPY\x02\x00\xff\xff\xff\xff", "expected at most"),
        ] {
            let error = Header::read(bytes).expect_err("damaged");
            assert!(error.contains(part), "{bytes:?}: {error}");
        }
    }
}
