//! Options whose values are swapped: a bundle where a scan belongs, and a scan where the bundle belongs.

use std::path::Path;

use segvol::volume::format::recognise_path;

use crate::exit::Usage;

/// Fails if the scan, or the list or folder of scans, is a bundle's folder and the model is not. Each is an option and its value.
pub(crate) fn check(scan: (&str, &Path), model: (&str, &Path)) -> Result<(), Usage> {
    let is_bundle = |path: &Path| path.join(segvol_onnx::manifest::MANIFEST_FILE).is_file();
    let ((scan_option, scan), (model_option, model)) = (scan, model);
    if !is_bundle(scan) || is_bundle(model) || !model.exists() {
        return Ok(());
    }
    let what = recognise_path(model).ok().flatten().map_or_else(|| "a file".into(), |found| found.what);
    let [scan, model] = [scan, model].map(|path| segvol_base::printable(&path.to_string_lossy()).into_owned());
    Err(Usage(format!(
        "{scan_option} and {model_option} are swapped: `{scan}` is a bundle, `{model}` is {what}; use {scan_option} {model} \
         {model_option} {scan}"
    )))
}
