//! What every page has: its head, with the policy and the style.

use std::io::{self, Write as _};
use std::path::Path;

use maud::{DOCTYPE, Markup, PreEscaped, html};
use segvol_base::atomic_file;

/// What a page may load: its own style, and pictures inside it.
const POLICY: &str = include_str!("policy.txt").trim_ascii();

/// A whole page.
pub(crate) fn document(title: &str, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="referrer" content="no-referrer";
                title { (title) }
                link rel="icon" href="data:,";
                style { (PreEscaped(include_str!("style.css"))) }
            }
            body { (body) }
        }
    }
}

/// Writes a page to a file, whole or not at all.
pub(crate) fn save(html: &str, path: &Path) -> io::Result<()> {
    atomic_file::write(path, |mut file| file.write_all(html.as_bytes()))
}
