//! Parses the values of options.

use std::path::Path;

use crate::exit::Usage;

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

/// Fails if the folder of an output file does not exist, so that this is reported before the work and not after it.
pub(crate) fn check_folder_of(path: &Path) -> Result<(), Usage> {
    match path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        Some(parent) if !parent.is_dir() => {
            Err(Usage(format!("`{}`: the folder `{}` does not exist", path.display(), parent.display())))
        }
        _ => Ok(()),
    }
}
