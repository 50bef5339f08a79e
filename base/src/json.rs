//! JSON that people write by hand, read so that a mistake is named with its place, what was expected and what was found.
//!
//! [`Document::parse`] reads the syntax. [`At`] is a value with its place in the document: its methods check what it must be, and
//! their error says where it is.

mod node;
mod parser;

use std::borrow::Cow;
use std::ops::RangeInclusive;

pub use node::JsonError;
use node::{Node, Value, shortened};

use crate::text;

/// A JSON document.
#[derive(Debug)]
pub struct Document<'t> {
    text: &'t str,
    root: Node<'t>,
}

impl<'t> Document<'t> {
    /// Reads a document. A byte order mark before it is ignored.
    ///
    /// # Errors
    ///
    /// [`JsonError`] for what is not JSON: comments, trailing commas, single quotes, NaN, a field that an object has twice, a
    /// file of another kind.
    pub fn parse(text: &'t str) -> Result<Self, JsonError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        Ok(Self { text, root: parser::parse(text)? })
    }

    /// The whole document.
    #[must_use]
    pub fn root(&self) -> At<'_> {
        At { text: self.text, node: &self.root, step: Step::Root, up: None }
    }
}

/// What is wrong with one line of a file of JSON lines: its syntax, or else what a deserializer found.
#[must_use]
pub fn line_problem(line: &[u8], found: &dyn std::fmt::Display) -> String {
    let syntax = text::decode(line).map(|text| Document::parse(text).map(drop));
    match syntax {
        Err(kind) => format!("expected JSON; found {kind}"),
        Ok(Err(error)) => error.in_line(),
        // Deserializers count lines too, and saw only this one.
        Ok(Ok(())) => match found.to_string().rsplit_once(" at line 1 column ") {
            Some((what, column)) => format!("{what} (column {column})"),
            None => found.to_string(),
        },
    }
}

/// A value of a document, with its place.
#[derive(Debug, Clone, Copy)]
pub struct At<'a> {
    text: &'a str,
    node: &'a Node<'a>,
    step: Step<'a>,
    up: Option<&'a At<'a>>,
}

#[derive(Debug, Clone, Copy)]
enum Step<'a> {
    Root,
    Field(&'a str),
    Index(usize),
}

/// The fields of an object.
#[derive(Debug)]
pub struct Fields<'a>(&'a At<'a>, &'a [(Cow<'a, str>, Node<'a>)]);

impl<'a> At<'a> {
    fn child(&'a self, step: Step<'a>, node: &'a Node<'a>) -> Self {
        At { text: self.text, node, step, up: Some(self) }
    }

    fn path(&self) -> String {
        let up = self.up.map_or_else(String::new, At::path);
        match self.step {
            Step::Root => up,
            Step::Field(name) if up.is_empty() => name.to_owned(),
            Step::Field(name) => format!("{up}.{name}"),
            Step::Index(index) => format!("{up}[{index}]"),
        }
    }

    /// An error about this value: what was expected instead.
    #[must_use]
    pub fn refuse(&self, expected: impl Into<String>) -> JsonError {
        self.refuse_as(expected, self.described())
    }

    /// As [`At::refuse`], with other words for what was found.
    #[must_use]
    pub fn refuse_as(&self, expected: impl Into<String>, found: impl Into<String>) -> JsonError {
        JsonError::new(self.text, self.node.at as usize, self.path(), expected.into(), found.into())
    }

    /// What the value is, for people.
    #[must_use]
    pub fn described(&self) -> String {
        let values = |count: usize| if count == 1 { "1 value".to_owned() } else { format!("{count} values") };
        match &self.node.value {
            Value::Null => "null".to_owned(),
            Value::Bool(value) => value.to_string(),
            Value::Number(_) => {
                let source = &self.text[self.node.at as usize..];
                let end = source.find(|c: char| !(c.is_ascii_alphanumeric() || "+-.".contains(c)));
                format!("the number {}", shortened(&source[..end.unwrap_or(source.len())]))
            }
            Value::Text(text) if text.trim().parse::<f64>().is_ok() => {
                format!("the text \"{}\" (a number has no quotes)", shortened(text))
            }
            Value::Text(text) => format!("the text \"{}\"", shortened(text)),
            Value::List(list) if list.is_empty() => "an empty list".to_owned(),
            Value::List(list) => format!("a list of {}", values(list.len())),
            Value::Object(fields) if fields.is_empty() => "an object without fields".to_owned(),
            Value::Object(fields) => {
                let names = fields.iter().take(6).map(|(name, _)| format!("`{}`", shortened(name)));
                let more = if fields.len() > 6 { ", …" } else { "" };
                let word = if fields.len() == 1 { "field" } else { "fields" };
                format!("an object with the {word} {}{more}", names.collect::<Vec<_>>().join(", "))
            }
        }
    }

    /// The text of a text.
    ///
    /// # Errors
    ///
    /// [`JsonError`] with these words for what is expected, if it is something else.
    pub fn text(&self, expected: &str) -> Result<&'a str, JsonError> {
        match &self.node.value {
            Value::Text(text) => Ok(text),
            _ => Err(self.refuse(expected)),
        }
    }

    /// A finite number.
    ///
    /// # Errors
    ///
    /// As [`At::text`].
    pub fn number(&self, expected: &str) -> Result<f64, JsonError> {
        match self.node.value {
            Value::Number(number) => Ok(number),
            _ => Err(self.refuse(expected)),
        }
    }

    /// `true` or `false`.
    ///
    /// # Errors
    ///
    /// As [`At::text`].
    pub fn boolean(&self, expected: &str) -> Result<bool, JsonError> {
        match self.node.value {
            Value::Bool(value) => Ok(value),
            _ => Err(self.refuse(expected)),
        }
    }

    /// A whole number in a range.
    ///
    /// # Errors
    ///
    /// As [`At::text`], also for a number that is not whole or out of range.
    pub fn whole(&self, range: RangeInclusive<u32>, expected: &str) -> Result<u32, JsonError> {
        let number = self.number(expected)?;
        let (least, most) = (f64::from(*range.start()), f64::from(*range.end()));
        if number.fract() == 0.0 && (least..=most).contains(&number) {
            return Ok(number as u32);
        }
        Err(self.refuse(expected))
    }

    /// Whether it is a list.
    #[must_use]
    pub fn is_list(&self) -> bool {
        matches!(self.node.value, Value::List(_))
    }

    /// Whether it is a text.
    #[must_use]
    pub fn is_text(&self) -> bool {
        matches!(self.node.value, Value::Text(_))
    }

    /// The values of a list.
    ///
    /// # Errors
    ///
    /// As [`At::text`].
    pub fn list(&'a self, expected: &str) -> Result<impl ExactSizeIterator<Item = At<'a>> + use<'a>, JsonError> {
        match &self.node.value {
            Value::List(list) => Ok(list.iter().enumerate().map(|(index, node)| self.child(Step::Index(index), node))),
            _ => Err(self.refuse(expected)),
        }
    }

    /// The numbers of a list that has one of these lengths.
    ///
    /// # Errors
    ///
    /// As [`At::text`], also if the list has another length or one of its values is no number.
    pub fn numbers(&self, lengths: RangeInclusive<usize>, expected: &str) -> Result<Vec<f64>, JsonError> {
        let list = self.list(expected)?;
        if !lengths.contains(&list.len()) {
            return Err(self.refuse(expected));
        }
        list.map(|value| value.number(&format!("a number in {expected}"))).collect()
    }

    /// The fields of an object with any names, in the order of the file.
    ///
    /// # Errors
    ///
    /// As [`At::text`].
    pub fn entries(
        &'a self,
        expected: &str,
    ) -> Result<impl ExactSizeIterator<Item = (&'a str, At<'a>)> + use<'a>, JsonError> {
        match &self.node.value {
            Value::Object(fields) => {
                Ok(fields.iter().map(|(name, node)| (&**name, self.child(Step::Field(name), node))))
            }
            _ => Err(self.refuse(expected)),
        }
    }

    /// The fields of an object that may have only `known` fields, and those that `ignored` accepts.
    ///
    /// # Errors
    ///
    /// As [`At::text`], and for any other field: the known ones, and the one with the most similar name.
    pub fn fields(
        &'a self,
        expected: &str,
        known: &[&str],
        ignored: impl Fn(&str) -> bool,
    ) -> Result<Fields<'a>, JsonError> {
        let Value::Object(fields) = &self.node.value else { return Err(self.refuse(expected)) };
        if let Some((name, node)) = fields.iter().find(|(name, _)| !known.contains(&&**name) && !ignored(name)) {
            let list = known.iter().map(|known| format!("`{known}`")).collect::<Vec<_>>().join(", ");
            let near = nearest(name, known).map_or_else(String::new, |near| format!(" (did you mean `{near}`?)"));
            let expected = format!("only the fields {list}");
            let found = format!("the field `{}`{near}", shortened(name));
            return Err(JsonError::new(self.text, node.at as usize, self.path(), expected, found));
        }
        Ok(Fields(self, fields))
    }
}

impl<'a> Fields<'a> {
    /// The value of a field; `None` if it is absent or null.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<At<'a>> {
        let (name, node) = self.1.iter().find(|(field, _)| field == name)?;
        (!matches!(node.value, Value::Null)).then(|| self.0.child(Step::Field(name), node))
    }

    /// The value of a field that must be there.
    ///
    /// # Errors
    ///
    /// [`JsonError`] if it is absent, with an example of the field, such as `"text": "liver"`.
    pub fn require(&self, name: &str, example: &str) -> Result<At<'a>, JsonError> {
        let missing = || self.0.refuse(format!("the field `{name}`, for example {example}"));
        self.get(name).ok_or_else(missing)
    }

    /// Checks `schema_version`, which must be there.
    ///
    /// # Errors
    ///
    /// [`JsonError`] if it is absent or another version.
    pub fn check_version(&self, version: u32) -> Result<(), JsonError> {
        let found = self.require("schema_version", &format!("\"schema_version\": {version}"))?;
        let expected = format!("{version}, the version that this program reads");
        found.whole(version..=version, &expected).map(drop)
    }
}

/// The known name that differs least from a name, if the difference looks like a slip.
fn nearest<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    let name = name.to_lowercase();
    if name.len() > 64 {
        return None;
    }
    let distance = |known: &str| {
        // Levenshtein's distance, one row at a time.
        let mut row: Vec<usize> = (0..=known.len()).collect();
        for (i, a) in name.bytes().enumerate() {
            let mut diagonal = std::mem::replace(&mut row[0], i + 1);
            for (j, b) in known.bytes().enumerate() {
                let changed = diagonal + usize::from(a != b);
                diagonal = row[j + 1];
                row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
            }
        }
        row[known.len()]
    };
    let (near, least) = known.iter().map(|&known| (known, distance(known))).min_by_key(|&(_, least)| least)?;
    if least <= 1 + near.len() / 4 {
        return Some(near);
    }
    known.iter().copied().find(|&known| name.len() > 2 && (known.contains(&name) || name.contains(known)))
}

#[cfg(test)]
mod tests;
