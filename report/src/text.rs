//! Texts from files, made safe for a page.

use segvol_base::printable;

/// A text from a file, without characters that hide or turn text. The template escapes markup.
pub(crate) fn shown(text: &str) -> String {
    printable(text).into_owned()
}
