//! Parses the values of options.

/// Numbers separated by commas; `None` if a part is not a number.
pub(crate) fn parse_numbers(text: &str) -> Option<Vec<f64>> {
    text.split(',').map(|part| part.trim().parse().ok()).collect()
}

/// `NAME=LABEL`: an object's name and its value in a label map.
pub(crate) fn parse_label(text: &str) -> Result<(String, u16), String> {
    let named = text.rsplit_once('=').and_then(|(name, label)| Some((name.to_owned(), label.trim().parse().ok()?)));
    match named {
        Some((_, 0)) | None => Err("expected NAME=LABEL with a label from 1 to 65535, for example liver=1".to_owned()),
        Some(named) => Ok(named),
    }
}
