//! A folder of cases whose layout is recognised from what is in it.

use std::path::Path;

use segvol::Names;

use super::layout::{Data, Layout, Split};
use super::{Advice, CaseListError, case_folders, check, nnunet, pairs};

/// How [`read_data`] reads a folder.
#[derive(Default)]
pub struct DataOptions<'a> {
    /// The layout; `None` if the folder's content decides.
    pub layout: Option<Layout>,
    /// Which split of [`Layout::NnUnet`] is meant; `None` for the only one with label maps.
    pub split: Option<Split>,
    /// A JSON file with names, instead of those of the folder: `{"liver": 1}`, or for [`Layout::CaseFolders`] the names of the
    /// masks' files, `{"kidney_left": "left kidney"}`.
    pub names: Option<&'a Path>,
    /// The names that the model was trained with. For [`Layout::CaseFolders`] without `names`, a structure gets the model's spelling
    /// of its file's name, if there is only one.
    pub trained: Option<&'a Names>,
}

/// Lists the cases of a folder in one of the layouts of [`Layout`].
///
/// A scan without its truth, or a truth without its scan, is a case that fails when it is opened, so that no file is passed over.
/// Hidden files, and what operating systems put into folders, are left out.
///
/// # Errors
///
/// [`CaseListError`] if the folder cannot be read, has none of the layouts or several, or contradicts its layout.
pub fn read_data(folder: &Path, options: &DataOptions<'_>) -> Result<Data, CaseListError> {
    let layout = match options.layout {
        Some(layout) => layout,
        None => recognised(folder)?,
    };
    let mut data = match layout {
        Layout::Pairs => pairs::read(folder, options.names),
        Layout::NnUnet => nnunet::read(folder, options.split, options.names),
        Layout::CaseFolders => case_folders::read(folder, options.names, options.trained),
    }?;
    if options.split.is_some() && layout != Layout::NnUnet {
        let reason = format!("the layout {layout} has no splits; only {} has", Layout::NnUnet);
        return Err(CaseListError::new(folder, reason));
    }
    if data.cases.is_empty() {
        let reason = format!("expected cases in the layout {layout} ({}), found none", layout.example());
        return Err(CaseListError::new(folder, reason).advising(Advice::Layout));
    }
    check(&data.cases).map_err(|reason| CaseListError::new(folder, reason))?;
    data.description = format!("{} ({layout})", data.description);
    Ok(data)
}

/// The only layout whose files a folder has.
fn recognised(folder: &Path) -> Result<Layout, CaseListError> {
    if folder.is_file() {
        let reason = "expected a folder of scans and their masks, found a file";
        return Err(CaseListError::new(folder, reason).advising(Advice::List));
    }
    let mut there = Vec::new();
    for layout in Layout::ALL {
        if is_there(layout, folder)? {
            there.push(layout);
        }
    }
    let named = |layouts: &[Layout]| {
        layouts.iter().map(|layout| format!("{layout} ({})", layout.example())).collect::<Vec<_>>().join(", ")
    };
    match there.as_slice() {
        [one] => Ok(*one),
        [] => {
            let reason = format!("expected one of the layouts {}; found none of them", named(&Layout::ALL));
            Err(CaseListError::new(folder, reason).advising(Advice::List))
        }
        several => {
            let reason = format!("expected one layout; found files of several: {}", named(several));
            Err(CaseListError::new(folder, reason).advising(Advice::Layout))
        }
    }
}

fn is_there(layout: Layout, folder: &Path) -> Result<bool, CaseListError> {
    match layout {
        Layout::Pairs => pairs::is_there(folder),
        Layout::NnUnet => Ok(nnunet::is_there(folder)),
        Layout::CaseFolders => case_folders::is_there(folder),
    }
}
