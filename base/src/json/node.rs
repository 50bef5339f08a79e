//! Values of a document, and the mistakes that are found in them.

use std::borrow::Cow;
use std::fmt;

use crate::printable;

/// A mistake in a JSON file: `` `objects[1].box`: expected six numbers; found a list of 2 values (line 3, column 12) ``.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonError {
    /// The value's place in the document, such as `objects[1].box`; empty for the whole document and for its syntax.
    pub path: String,
    /// What was expected, with an example where it helps.
    pub expected: String,
    /// What was found.
    pub found: String,
    /// The line, from 1.
    pub line: usize,
    /// The character of the line, from 1.
    pub column: usize,
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (line {}, column {})", self.mistake(), self.line, self.column)
    }
}

impl std::error::Error for JsonError {}

impl JsonError {
    /// The mistake in a document that is one line of a file, whose number the caller says.
    #[must_use]
    pub fn in_line(&self) -> String {
        let mistake = self.mistake().replace("the end of the file", "the end of the line");
        format!("{mistake} (column {})", self.column)
    }

    fn mistake(&self) -> String {
        let Self { path, expected, found, .. } = self;
        let place = if path.is_empty() { String::new() } else { format!("`{}`: ", printable(path)) };
        format!("{place}expected {expected}; found {}", printable(found))
    }

    pub(super) fn new(text: &str, at: usize, path: String, expected: String, found: String) -> Self {
        let before = &text[..at];
        let line = 1 + before.matches('\n').count();
        let column = 1 + before.rsplit('\n').next().map_or(0, |line| line.chars().count());
        Self { path, expected, found, line, column }
    }
}

/// A value, and where it begins in the text.
#[derive(Debug)]
pub(super) struct Node<'t> {
    pub(super) at: u32,
    pub(super) value: Value<'t>,
}

#[derive(Debug)]
pub(super) enum Value<'t> {
    Null,
    Bool(bool),
    Number(f64),
    Text(Cow<'t, str>),
    List(Box<[Node<'t>]>),
    Object(Box<[(Cow<'t, str>, Node<'t>)]>),
}

/// A text of a file, short enough for a message.
pub(super) fn shortened(text: &str) -> String {
    const LONGEST: usize = 40;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
