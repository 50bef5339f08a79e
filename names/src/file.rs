//! Lists of names in files.
//!
//! Text has one name per line. Blank lines and lines that begin with `#` are left out. JSON is one of
//!
//! ```json
//! ["liver", "spleen", {"name": "spine", "synonyms": ["vertebral column"]}]
//! {"liver": [], "spine": ["vertebral column"]}
//! {"liver": 1, "spleen": 2}
//! {"1": "liver", "2": "spleen"}
//! {"names": one of these}
//! ```
//!
//! The third and the fourth are label maps; the label 0 is the background and has no name. `labels` and `structures` are
//! read like `names`, so the files of nnU-Net and lists of cases can be used too. A byte order mark is ignored.

use std::collections::BTreeSet;
use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use segvol_base::{ErrorKind, Warning, WarningCode};
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use crate::spelling::as_tokenized;
use crate::{Name, Names};

/// The longest file that is read, in bytes.
const MAX_BYTES: u64 = 1 << 20;

/// The fields that hold a list inside a larger file.
const FIELDS: [&str; 3] = ["names", "labels", "structures"];

/// What JSON may look like, for messages.
const EXAMPLES: &str = r#"["liver", "spleen"] or {"liver": ["hepar"], "spleen": []} or {"liver": 1, "spleen": 2}"#;

/// Why a file of names cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("names `{}`: {reason}", path.display())]
pub struct NamesError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong, with the line or the name.
    pub reason: String,
}

impl NamesError {
    /// The kind of failure: always [`ErrorKind::Input`].
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Input
    }
}

/// Reads the names in a file: text with one name per line, or JSON. A name that is listed twice is a warning.
///
/// # Errors
///
/// [`NamesError`] if the file cannot be read, has more than 1 MiB, or is no list of names that [`Names::new`] accepts.
pub fn read(path: &Path) -> Result<(Names, Vec<Warning>), NamesError> {
    let failed = |reason: String| NamesError { path: path.to_owned(), reason };
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(|error| failed(error.to_string()))?;
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(|error| failed(error.to_string()))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(failed(format!("expected a list of names of at most {MAX_BYTES} bytes, found a larger file")));
    }
    let text = String::from_utf8(bytes).map_err(|_| {
        failed(
            "expected text in UTF-8: one name per line, or JSON; found other bytes (save the file as UTF-8)".to_owned(),
        )
    })?;
    let source = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    let source: String = segvol_base::printable(&source).chars().take(crate::MAX_CHARACTERS).collect();
    parse(&text, &source).map_err(failed)
}

/// As [`read`], from the text of a file. `source` says where the list comes from, in one line.
///
/// # Errors
///
/// What is wrong, with the line or the name.
pub fn parse(text: &str, source: &str) -> Result<(Names, Vec<Warning>), String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let list = match text.trim_start().chars().next() {
        Some('[' | '{') => {
            serde_json::from_str(text).map_err(|error| format!("{error}; expected for example {EXAMPLES}"))?
        }
        Some('<') => return Err("expected one name per line, or JSON; found a web page".to_owned()),
        _ => List::of_lines(text)?,
    };
    list.names(source)
}

/// A list of names as a file has it, in any of the forms that [`parse`] reads from JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List(Vec<Name>);

impl List {
    fn of_lines(text: &str) -> Result<Self, String> {
        let mut names: Vec<Name> = Vec::new();
        for (number, line) in (1..).zip(text.lines().map(str::trim)) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if let Some(wrong) = crate::wrong(line) {
                return Err(format!("line {number}: {wrong}"));
            }
            names.push(line.into());
        }
        match &names[..] {
            [only] if only.name.contains([',', ';']) => {
                Err(format!("expected one name per line, found a single line with commas: {:?}", only.name))
            }
            _ => Ok(Self(names)),
        }
    }

    /// The names, and a warning for each that is listed twice. `source` says where the list comes from.
    ///
    /// # Errors
    ///
    /// As for [`Names::new`].
    pub fn names(self, source: &str) -> Result<(Names, Vec<Warning>), String> {
        let (mut seen, mut warnings) = (BTreeSet::new(), Vec::new());
        let mut is_new = |name: &str| {
            let new = seen.insert(as_tokenized(name));
            if !new {
                let message = format!("names `{source}`: {name:?} is listed twice");
                warnings.push(Warning::new(WarningCode::NameDuplicate, message));
            }
            new
        };
        let mut list = Vec::with_capacity(self.0.len());
        for Name { name, synonyms } in self.0 {
            let mut spellings = [vec![name], synonyms].concat();
            spellings.retain(|spelling| is_new(spelling));
            if !spellings.is_empty() {
                list.push(Name { name: spellings.remove(0), synonyms: spellings });
            }
        }
        Ok((Names::new(source, list)?, warnings))
    }

    fn of_json(json: Json) -> Result<Vec<Name>, String> {
        match json {
            Json::List(entries) => {
                let numbered = (1..).zip(entries);
                numbered.map(|(number, entry)| name(entry).map_err(|error| format!("name {number}: {error}"))).collect()
            }
            Json::Map(mut fields) => {
                let held = |field: &str, value: &Json| {
                    FIELDS.contains(&field) && matches!(value, Json::List(_) | Json::Map(_))
                };
                if let Some(at) = fields.iter().position(|(field, value)| held(field, value)) {
                    let (field, list) = fields.swap_remove(at);
                    return Self::of_json(list).map_err(|error| format!("`{field}`: {error}"));
                }
                let by_label =
                    |(key, value): &(String, Json)| key.parse::<u32>().is_ok() && matches!(value, Json::Text(_));
                if fields.iter().all(by_label) {
                    fields.retain(|(label, _)| label.parse() != Ok(0_u32));
                    return fields
                        .into_iter()
                        .map(|(label, value)| name(value).map_err(|e| format!("label {label}: {e}")))
                        .collect();
                }
                let names = fields
                    .into_iter()
                    .map(|(name, value)| field(&name, value).map_err(|error| format!("{name:?}: {error}")));
                names.filter_map(Result::transpose).collect()
            }
            other => Err(format!("expected a list of names, found {other}")),
        }
    }
}

impl<'de> Deserialize<'de> for List {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = Json::deserialize(deserializer)?;
        Self::of_json(json).map(Self).map_err(D::Error::custom)
    }
}

/// One entry of a list: a name, or a name with synonyms.
fn name(entry: Json) -> Result<Name, String> {
    let mut found = match entry {
        Json::Text(name) => Name::from(name),
        Json::Map(fields) => {
            let mut found = Name::from("");
            for (field, value) in fields {
                match (field.as_str(), value) {
                    ("name", Json::Text(name)) => found.name = name,
                    ("synonyms", value) => found.synonyms = texts(value)?,
                    (field, value) => {
                        return Err(format!(
                            "`{field}`: expected `name` with a text and `synonyms` with a list, found {value}"
                        ));
                    }
                }
            }
            found
        }
        other => return Err(format!("expected a text, found {other}")),
    };
    check(&mut found)?;
    Ok(found)
}

/// One field of an object that has a field for every name; `None` for the background of a label map.
fn field(name: &str, value: Json) -> Result<Option<Name>, String> {
    let is_label = |value: &Json| matches!(value, Json::Number(label) if label.fract() == 0.0 && *label >= 0.0);
    let synonyms = match value {
        Json::Number(0.0) => return Ok(None),
        value if is_label(&value) => Vec::new(),
        // A region of several labels.
        Json::List(labels) if !labels.is_empty() && labels.iter().all(is_label) => Vec::new(),
        value @ Json::List(_) => texts(value)?,
        other => return Err(format!("expected a list of synonyms, or the name's label, found {other}")),
    };
    let mut found = Name { name: name.to_owned(), synonyms };
    check(&mut found)?;
    Ok(Some(found))
}

/// Removes blanks around a name and its synonyms, and refuses those that cannot be used.
fn check(found: &mut Name) -> Result<(), String> {
    for spelling in std::iter::once(&mut found.name).chain(&mut found.synonyms) {
        *spelling = spelling.trim().to_owned();
        if let Some(wrong) = crate::wrong(spelling) {
            return Err(wrong);
        }
    }
    Ok(())
}

fn texts(value: Json) -> Result<Vec<String>, String> {
    let Json::List(entries) = value else { return Err(format!("expected a list of synonyms, found {value}")) };
    let text = |entry| match entry {
        Json::Text(text) => Ok(text),
        other => Err(format!("expected a list of texts, found {other} in it")),
    };
    entries.into_iter().map(text).collect()
}

/// Any JSON. Unlike `serde_json::Value`, it keeps the order of fields, and a field that is there twice.
#[derive(Debug, Clone, PartialEq)]
enum Json {
    Null,
    Bool,
    Number(f64),
    Text(String),
    List(Vec<Json>),
    Map(Vec<(String, Json)>),
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool => f.write_str("true or false"),
            Self::Number(number) => write!(f, "the number {number}"),
            Self::Text(_) => f.write_str("a text"),
            Self::List(_) => f.write_str("a list"),
            Self::Map(_) => f.write_str("an object"),
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JsonVisitor)
    }
}

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of names")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Json, E> {
        Ok(Json::Bool)
    }

    fn visit_i64<E>(self, number: i64) -> Result<Json, E> {
        Ok(Json::Number(number as f64))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Json, E> {
        Ok(Json::Number(number as f64))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Json, E> {
        Ok(Json::Number(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Json, E> {
        Ok(Json::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Json, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = list.next_element()? {
            entries.push(entry);
        }
        Ok(Json::List(entries))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = map.next_entry()? {
            fields.push(field);
        }
        Ok(Json::Map(fields))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Vec<String>, String> {
        let (names, warnings) = parse(text, "a test")?;
        assert_eq!(warnings, [], "{text}");
        Ok(names.list().iter().map(|name| name.spellings().collect::<Vec<_>>().join("=")).collect())
    }

    #[test]
    fn every_form_gives_the_names_in_its_order() {
        for text in [
            "spleen\nliver\n",
            "\u{feff}# of my model\r\n\r\n spleen \r\nliver",
            r#"["spleen", "liver"]"#,
            "\u{feff}\r\n [\"spleen\",\r\n\"liver\"]\r\n",
            r#"[{"name": "spleen"}, {"synonyms": [], "name": " liver"}]"#,
            r#"{"spleen": [], "liver": []}"#,
            r#"{"background": 0, "spleen": 2, "liver": 1}"#,
            r#"{"spleen": [1, 2], "liver": 3}"#,
            r#"{"0": "background", "2": "spleen", "1": "liver"}"#,
            r#"{"names": ["spleen", "liver"]}"#,
            r#"{"schema_version": 1, "structures": {"spleen": 2, "liver": 1}, "cases": []}"#,
            r#"{"channel_names": {"0": "CT"}, "labels": {"background": 0, "spleen": 1, "liver": 2}, "numTraining": 9}"#,
        ] {
            assert_eq!(parsed(text), Ok(vec!["spleen".to_owned(), "liver".to_owned()]), "{text}");
        }
        let spine = r#"["liver", {"name": "spine", "synonyms": ["vertebral column"]}]"#;
        assert_eq!(parsed(spine).expect("names"), ["liver", "spine=vertebral column"]);
        assert_eq!(parsed(r#"{"spine": ["vertebral column"]}"#).expect("names"), ["spine=vertebral column"]);
        assert_eq!(parsed("vertebra, T13\nliver").expect("names"), ["vertebra, T13", "liver"]);
    }

    #[test]
    fn mistakes_say_what_and_where() {
        for (text, parts) in [
            ("", vec!["at least one name"]),
            ("# nothing\n\n", vec!["at least one name"]),
            ("liver, spleen, aorta", vec!["one name per line", "\"liver, spleen, aorta\""]),
            ("liver\nspl\u{0}een", vec!["line 2", "control characters"]),
            ("<!DOCTYPE html>", vec!["web page"]),
            ("[\"liver\",\n]", vec!["line 2", "for example"]),
            ("{}", vec!["at least one name"]),
            ("[]", vec!["at least one name"]),
            ("[\"liver\", 3]", vec!["name 2", "a text", "the number 3"]),
            ("[\"liver\", \" \"]", vec!["name 2", "blanks"]),
            (r#"[{"nam": "liver"}]"#, vec!["name 1", "`nam`", "`name`"]),
            (r#"{"liver": "hepar"}"#, vec!["\"liver\"", "list of synonyms", "a text"]),
            (r#"{"liver": 1.5}"#, vec!["\"liver\"", "1.5"]),
            (r#"{"liver": -1}"#, vec!["\"liver\"", "-1"]),
            (r#"{"liver": ["hepar", 1]}"#, vec!["\"liver\"", "list of texts", "the number 1"]),
            (r#"{"names": {"liver": true}}"#, vec!["`names`", "\"liver\"", "true or false"]),
            (r#"{"background": 0}"#, vec!["at least one name"]),
        ] {
            let error = parsed(text).expect_err(text);
            assert!(parts.iter().all(|part| error.contains(part)), "{parts:?}: {error}");
        }
    }

    #[test]
    fn a_name_that_is_listed_twice_is_a_warning() {
        let text = r#"{"liver": [], "Liver ": ["hepar"], "spine": ["SPINE", "hepar"]}"#;
        let (names, warnings) = parse(text, "names.json").expect("names");
        let list: Vec<Vec<&str>> = names.list().iter().map(|name| name.spellings().collect()).collect();
        assert_eq!(list, [vec!["liver"], vec!["hepar"], vec!["spine"]]);
        let messages: Vec<&str> = warnings.iter().map(|warning| warning.message.as_str()).collect();
        assert_eq!(messages.len(), 3);
        assert!(messages[0].contains("`names.json`: \"Liver\" is listed twice"), "{messages:?}");
        assert!(warnings.iter().all(|warning| warning.code == WarningCode::NameDuplicate));
        assert_eq!(parse("liver\nLIVER", "x").expect("names").1.len(), 1);
    }

    #[test]
    fn a_file_is_named_and_limited() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("my names.txt");
        let error = read(&path).expect_err("no file");
        assert!(error.to_string().contains("my names.txt"), "{error}");
        std::fs::write(&path, b"liver\nLeber-L\xe4sion\n").expect("written");
        assert!(read(&path).expect_err("another encoding").reason.contains("UTF-8"));
        std::fs::write(&path, "a\n".repeat(1 << 20)).expect("written");
        assert!(read(&path).expect_err("too long").reason.contains("1048576"));
        std::fs::write(&path, "liver\nLeber-Läsion\n").expect("written");
        let (names, warnings) = read(&path).expect("names");
        assert_eq!((names.source(), names.list().len(), warnings.len()), ("my names.txt", 2, 0));
        assert_eq!(read(folder.path()).expect_err("a folder").kind(), ErrorKind::Input);
    }
}
