//! Writes the labels of a NIfTI file as an RT Structure Set of the DICOM series that they were made on.
//!
//! ```text
//! cargo run --package segvol-segments --features dicom --example rtstruct -- SERIES LABELS.nii.gz OUT.dcm liver=1 spleen=2
//! ```

use std::error::Error;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use segvol_segments::{DicomOptions, Provenance, Segment, Segments, rtstruct};
use segvol_volume::{Mask, Volume, truth};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [series, labels, out, names @ ..] = arguments.as_slice() else {
        return Err("expected SERIES LABELS.nii.gz OUT.dcm NAME=LABEL...".into());
    };
    let volume = Volume::open(series)?;
    let grid = Arc::clone(volume.grid());
    drop(volume);
    let (map, _) = truth::read_label_map(labels, &grid)?;
    let segment = |text: &String| -> Result<Segment, Box<dyn Error>> {
        let (name, label) = text.split_once('=').ok_or("expected NAME=LABEL")?;
        Ok(Segment { name: name.to_owned(), label: label.parse()? })
    };
    let segments = names.iter().map(segment).collect::<Result<Vec<_>, _>>()?;
    let mask = |index: usize| {
        let inside = map.voxels_of(segments[index].label)?;
        Mask::from_labels(inside.into_iter().map(u8::from).collect::<Vec<u8>>(), Arc::clone(&grid))
    };
    let provenance = Provenance { algorithm: "labels of a file".to_owned(), ..Provenance::default() };
    let all = Segments { grid: Arc::clone(&grid), segments: segments.clone(), mask: &mask, provenance };
    for warning in rtstruct::save(Path::new(out), &all, &DicomOptions::default())? {
        writeln!(std::io::stderr(), "{warning}")?;
    }
    Ok(())
}
