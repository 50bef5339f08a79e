//! The syntax of JSON, RFC 8259, with errors for people.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::node::{JsonError, Node, Value, shortened};
use crate::text;

/// Deepest nesting that is read. No file of ours has more than 5.
const MAX_DEPTH: usize = 64;

pub(super) fn parse(text: &str) -> Result<Node<'_>, JsonError> {
    let mut parser = Parser { text, at: 0 };
    if u32::try_from(text.len()).is_err() {
        return Err(parser.wrong("less than 4 GiB", "a larger file"));
    }
    parser.skip_space();
    if let Some(kind) = text::kind_of(text) {
        return Err(parser.wrong("JSON", kind));
    }
    let root = parser.value(0)?;
    parser.skip_space();
    match parser.peek() {
        None => Ok(root),
        Some(_) => Err(parser.unexpected("the end of the file")),
    }
}

struct Parser<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Parser<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn skip_space(&mut self) {
        let rest = self.rest().trim_start_matches([' ', '\t', '\r', '\n']);
        self.at = self.text.len() - rest.len();
    }

    /// Takes a character if it comes next.
    fn take(&mut self, c: char) -> bool {
        let found = self.peek() == Some(c);
        if found {
            self.at += c.len_utf8();
        }
        found
    }

    fn wrong(&self, expected: &str, found: impl Into<String>) -> JsonError {
        JsonError::new(self.text, self.at, String::new(), expected.to_owned(), found.into())
    }

    /// An error about what comes next, which names the usual mistakes.
    fn unexpected(&self, expected: &str) -> JsonError {
        let rest = self.rest();
        let word: String = rest.chars().take_while(|c| c.is_alphanumeric() || "_+-.".contains(*c)).take(41).collect();
        let found = match (rest.chars().next(), word.trim_start_matches(['-', '+']).to_lowercase().as_str()) {
            (None, _) => "the end of the file".to_owned(),
            (Some('#'), _) => "a comment (JSON has none)".to_owned(),
            (Some('/'), _) if rest.starts_with("//") || rest.starts_with("/*") => {
                "a comment (JSON has none)".to_owned()
            }
            (Some('\'' | '`' | '“' | '”' | '„' | '‘' | '’' | '«' | '»'), _) => {
                "another kind of quote (JSON has only \")".to_owned()
            }
            (_, "nan" | "inf" | "infinity") => format!("{word} (JSON has no such number)"),
            (_, lower @ ("true" | "false" | "null")) if word != lower => format!("{word} (JSON has `{lower}`)"),
            (_, "none") => format!("{word} (JSON has `null`)"),
            (Some(c @ (']' | '}')), _) if self.text[..self.at].trim_end().ends_with(',') => {
                format!("`{c}` after a comma (remove the comma)")
            }
            (Some(c), "") => format!("`{c}`"),
            (Some(_), _) => format!("`{}`", shortened(&word)),
        };
        self.wrong(expected, found)
    }

    fn value(&mut self, depth: usize) -> Result<Node<'t>, JsonError> {
        let at = self.at as u32;
        if depth > MAX_DEPTH {
            return Err(self.wrong(&format!("at most {MAX_DEPTH} lists and objects inside each other"), "more"));
        }
        let value = match self.peek() {
            Some('{') => self.object(depth)?,
            Some('[') => self.list(depth)?,
            Some('"') => Value::Text(self.string()?),
            Some('-' | '0'..='9') => self.number()?,
            _ => {
                let word = [("null", Value::Null), ("true", Value::Bool(true)), ("false", Value::Bool(false))];
                let part_of_a_word = |rest: &str| rest.starts_with(|c: char| c.is_alphanumeric() || c == '_');
                let here = word
                    .into_iter()
                    .find(|(word, _)| self.rest().strip_prefix(word).is_some_and(|rest| !part_of_a_word(rest)));
                let (word, value) = here.ok_or_else(|| {
                    let expected = if depth == 0 { "JSON, which begins with {" } else { "a value" };
                    self.unexpected(expected)
                })?;
                self.at += word.len();
                value
            }
        };
        Ok(Node { at, value })
    }

    fn list(&mut self, depth: usize) -> Result<Value<'t>, JsonError> {
        self.at += 1;
        let mut list = Vec::new();
        self.skip_space();
        if self.take(']') {
            return Ok(Value::List(Box::default()));
        }
        loop {
            self.skip_space();
            list.push(self.value(depth + 1)?);
            self.skip_space();
            if self.take(']') {
                return Ok(Value::List(list.into_boxed_slice()));
            }
            if !self.take(',') {
                return Err(self.unexpected("a comma or ] after a value of a list"));
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<Value<'t>, JsonError> {
        self.at += 1;
        let mut fields: Vec<(Cow<'t, str>, Node<'t>)> = Vec::new();
        let mut names = BTreeSet::new();
        self.skip_space();
        if self.take('}') {
            return Ok(Value::Object(Box::default()));
        }
        loop {
            self.skip_space();
            if self.peek() != Some('"') {
                return Err(self.unexpected("the name of a field in double quotes"));
            }
            let start = self.at;
            let name = self.string()?;
            if !names.insert(name.clone()) {
                self.at = start;
                return Err(self.wrong("every field of an object once", format!("`{}` twice", shortened(&name))));
            }
            self.skip_space();
            if !self.take(':') {
                return Err(self.unexpected(&format!("a colon after \"{}\"", crate::printable(&shortened(&name)))));
            }
            self.skip_space();
            fields.push((name, self.value(depth + 1)?));
            self.skip_space();
            if self.take('}') {
                return Ok(Value::Object(fields.into_boxed_slice()));
            }
            if !self.take(',') {
                return Err(self.unexpected("a comma or } after a field's value"));
            }
        }
    }

    fn number(&mut self) -> Result<Value<'t>, JsonError> {
        let rest = self.rest();
        let end = rest.find(|c: char| !(c.is_alphanumeric() || "+-.".contains(c))).unwrap_or(rest.len());
        let word = &rest[..end];
        let (whole, power) = word.split_once(['e', 'E']).unwrap_or((word, "0"));
        let (whole, fraction) = whole.split_once('.').unwrap_or((whole, "0"));
        let whole = whole.strip_prefix('-').unwrap_or(whole);
        let power = power.strip_prefix(['-', '+']).unwrap_or(power);
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let plain = digits(whole) && digits(fraction) && digits(power) && (whole.len() == 1 || !whole.starts_with('0'));
        if !plain {
            return Err(self.unexpected("a number, such as 12 or -0.5"));
        }
        match word.parse::<f64>() {
            Ok(number) if number.is_finite() => {
                self.at += end;
                Ok(Value::Number(number))
            }
            _ => Err(self.unexpected("a number of at most 1e308")),
        }
    }

    /// A text in double quotes, at which the parser stands.
    fn string(&mut self) -> Result<Cow<'t, str>, JsonError> {
        let start = self.at;
        self.at += 1;
        let mut text = Cow::Borrowed("");
        loop {
            let rest = self.rest();
            let Some(end) = rest.find(|c: char| c == '"' || c == '\\' || c < ' ') else {
                self.at = start;
                return Err(self.wrong("a double quote at the end of a text", "none before the end of the file"));
            };
            match &mut text {
                Cow::Borrowed("") => text = Cow::Borrowed(&rest[..end]),
                more => more.to_mut().push_str(&rest[..end]),
            }
            self.at += end;
            match self.peek() {
                Some('"') => {
                    self.at += 1;
                    return Ok(text);
                }
                Some('\\') => text.to_mut().push(self.escaped()?),
                _ => {
                    let found =
                        if rest[end..].starts_with(['\n', '\r']) { "a line break" } else { "a control character" };
                    return Err(self.wrong("a double quote at the end of a text", found));
                }
            }
        }
    }

    /// A character that is written with a backslash, at which the parser stands.
    fn escaped(&mut self) -> Result<char, JsonError> {
        let code = |at: usize| {
            let digits = self.text.get(at..)?.strip_prefix("\\u")?.get(..4)?;
            if digits.starts_with('+') { None } else { u32::from_str_radix(digits, 16).ok() }
        };
        let plain = match self.rest()[1..].chars().next() {
            Some(c @ ('"' | '\\' | '/')) => Some(c),
            Some('b') => Some('\u{8}'),
            Some('f') => Some('\u{c}'),
            Some('n') => Some('\n'),
            Some('r') => Some('\r'),
            Some('t') => Some('\t'),
            _ => None,
        };
        let (c, length) = match (plain, code(self.at), code(self.at + 6)) {
            (Some(c), _, _) => (Some(c), 2),
            // Two codes of UTF-16 for one character beyond U+FFFF.
            (None, Some(high @ 0xd800..0xdc00), Some(low @ 0xdc00..0xe000)) => {
                (char::from_u32(0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00)), 12)
            }
            (None, Some(code), _) => (char::from_u32(code), 6),
            (None, None, _) => (None, 0),
        };
        let found: String = self.rest().chars().take(2).collect();
        let expected = r#"one of \" \\ \/ \b \f \n \r \t \uXXXX after a backslash in a text"#;
        let c = c.ok_or_else(|| self.wrong(expected, format!("`{found}` (a path on Windows needs \\\\)")))?;
        self.at += length;
        Ok(c)
    }
}
