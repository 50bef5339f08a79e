//! Texts of arguments read, and names made fit for files.

/// Numbers between commas; none if one is no number.
pub(crate) fn parse_numbers(text: &str) -> Option<Vec<f64>> {
    text.split(',').map(|part| part.trim().parse().ok()).collect()
}

/// A name with what file systems dislike replaced.
pub(crate) fn file_stem(name: &str) -> String {
    let plain = |c: char| if c.is_alphanumeric() || c == '-' { c } else { '_' };
    let stem: String = name.trim().chars().map(plain).take(100).collect();
    if stem.is_empty() { "object".to_owned() } else { stem }
}
