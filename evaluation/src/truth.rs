//! A scan's label map: what the masks are compared with.

use std::path::Path;
use std::sync::Arc;

use segvol::mask::Mask;
use segvol::{Grid, TruthError, truth};

use crate::cases::Case;

/// Reads a case's label map: on the scan's grid, with what the case itself lists in it.
pub(crate) fn open(case: &Case, path: &Path, grid: &Arc<Grid>) -> Result<Mask, TruthError> {
    let (mask, there) = truth::read_label_map(path, grid)?;
    if let Some(missing) = case.structures.iter().find(|s| s.promised && !there.contains(&s.value)) {
        let found = there.into_iter().filter(|&label| label > 0).collect();
        let (name, label) = (missing.name.clone(), missing.value);
        return Err(TruthError::Missing { path: path.to_owned(), name, label, found });
    }
    Ok(mask)
}
