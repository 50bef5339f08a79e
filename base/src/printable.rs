//! Text from files, made safe for a terminal.

use std::borrow::Cow;

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

fn is_unprintable(c: char) -> bool {
    let invisible = matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}');
    c.is_control() || invisible
}

#[cfg(test)]
mod tests {
    use super::*;

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
