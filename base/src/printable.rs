//! Text from files, made safe for a terminal.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::path::Path;

/// Escapes characters that control a terminal or hide text: line breaks, escape sequences, and marks that change the
/// direction of writing. Everything else stays as it is.
///
/// Names in files and paths on disk can contain any character; without this, they could forge lines of output.
#[must_use]
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(is_unprintable) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_unprintable(c) {
            escaped.extend(c.escape_default());
        } else {
            escaped.push(c);
        }
    }
    Cow::Owned(escaped)
}

/// A path, escaped as [`printable`] does.
#[must_use]
pub fn printable_path(path: &Path) -> String {
    printable(&path.to_string_lossy()).into_owned()
}

/// JSON with the characters that [`printable`] escapes written as `\uXXXX`. The values stay the same.
///
/// JSON's own line breaks stay as they are; in a string it has none.
#[must_use]
pub fn printable_json(text: &str) -> Cow<'_, str> {
    let escapes = |c: char| c != '\n' && is_unprintable(c);
    if !text.contains(escapes) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if escapes(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a string does not fail.
                let _ = write!(escaped, "\\u{unit:04x}");
            }
        } else {
            escaped.push(c);
        }
    }
    Cow::Owned(escaped)
}

fn is_unprintable(c: char) -> bool {
    let invisible = matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}');
    c.is_control() || invisible
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_keeps_its_values() {
        let value = serde_json::json!({"name": "a\u{1b}\n\u{9b}2J\u{202e}\u{e0041} \\u"});
        let text = serde_json::to_string_pretty(&value).expect("JSON");
        assert!(text.contains(is_hidden), "{text}");
        let escaped = printable_json(&text);
        assert!(!escaped.contains(is_hidden), "{escaped}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&escaped).expect("JSON"), value);
        assert!(matches!(printable_json("{\n  \"a\": 1\n}\n"), Cow::Borrowed(_)));
    }

    fn is_hidden(c: char) -> bool {
        c != '\n' && is_unprintable(c)
    }

    #[test]
    fn only_what_controls_the_terminal_is_escaped() {
        for plain in ["liver", "Leber-Läsion", "肝臓", "a \"b\" \\ c", "🫁"] {
            assert!(matches!(printable(plain), Cow::Borrowed(_)), "{plain}");
        }
        assert_eq!(printable("a\r\n\tb"), "a\\r\\n\\tb");
        assert_eq!(printable("\u{1b}]0;title\u{7}"), "\\u{1b}]0;title\\u{7}");
        assert_eq!(printable("\u{202e}lmth.exe\u{9b}"), "\\u{202e}lmth.exe\\u{9b}");
    }
}
