//! Tables of labels beside a label map: names and colours for the programs that show it.
//!
//! | extension | read by                          | a line                                                        |
//! |-----------|----------------------------------|---------------------------------------------------------------|
//! | `.txt`    | ITK-SNAP, "Label Descriptions"   | label, red, green, blue, opacity, shown, shown in 3-D, "name" |
//! | `.ctbl`   | 3D Slicer, "Color table"         | label, name, red, green, blue, opacity                        |
//!
//! Colours are those of [`codes::of_name`]. The same segments give the same bytes.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

use segvol_base::atomic_file;

use crate::{Segment, SegmentsError, codes};

/// The format of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TableFormat {
    /// ITK-SNAP's label descriptions: `.txt`.
    ItkSnap,
    /// 3D Slicer's colour table: `.ctbl`.
    Slicer,
}

impl TableFormat {
    /// The extensions of all formats, for messages.
    pub const NAMES: &'static str = ".txt (ITK-SNAP) or .ctbl (3D Slicer)";

    /// The format for a file's name; `None` if it has another extension. Upper and lower case are the same.
    #[must_use]
    pub fn of_name(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "txt" => Some(Self::ItkSnap),
            "ctbl" => Some(Self::Slicer),
            _ => None,
        }
    }
}

/// The table of these objects, as text.
#[must_use]
pub fn table(format: TableFormat, segments: &[Segment]) -> String {
    let mut out = String::new();
    let _ = match format {
        TableFormat::ItkSnap => writeln!(
            out,
            "# ITK-SnAP Label Description File\n# IDX -R- -G- -B- -A- VIS MSH LABEL\n    0     0    0    0        0  0  0    \"Clear Label\""
        ),
        TableFormat::Slicer => {
            writeln!(out, "# Color table file\n# {} values\n0 Background 0 0 0 0", segments.len() + 1)
        }
    };
    for Segment { name, label } in segments {
        let [r, g, b] = codes::of_name(name).color;
        let one_line = name.replace(|c: char| c.is_control(), " ");
        let _ = match format {
            TableFormat::ItkSnap => {
                let name = one_line.replace('"', "'");
                writeln!(out, "{label:5} {r:5} {g:4} {b:4}        1  1  1    \"{name}\"")
            }
            // Words are separated by blanks, so a name has none.
            TableFormat::Slicer => writeln!(out, "{label} {} {r} {g} {b} 255", one_line.trim().replace(' ', "_")),
        };
    }
    out
}

/// Writes the table of these objects to a file, atomically. Its name decides the format.
///
/// # Errors
/// [`SegmentsError::Unfit`] if the name has another extension; [`SegmentsError::Write`].
pub fn save(path: &Path, segments: &[Segment]) -> Result<(), SegmentsError> {
    let unfit = || SegmentsError::Unfit { what: "table of labels", reason: format!("expected {}", TableFormat::NAMES) };
    let text = table(TableFormat::of_name(path).ok_or_else(unfit)?, segments);
    atomic_file::write(path, |mut file| file.write_all(text.as_bytes()))
        .map_err(|source| SegmentsError::Write { path: path.to_path_buf(), source })
}

/// The names of these objects as text for the header of a label map: one line for each label, `1 liver`.
#[must_use]
pub fn comment(segments: &[Segment]) -> String {
    let line =
        |segment: &Segment| format!("{} {}\n", segment.label, segment.name.replace(|c: char| c.is_control(), " "));
    format!("labels\n{}", segments.iter().map(line).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segments() -> Vec<Segment> {
        let of = |(name, label): (&str, u16)| Segment { name: name.to_owned(), label };
        [("liver", 1), ("left \"kidney\"\nx", 2)].map(of).to_vec()
    }

    #[test]
    fn each_program_gets_its_table() {
        let [r, g, b] = codes::of_name("liver").color;
        let text = table(TableFormat::ItkSnap, &segments());
        let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(lines.len(), 3);
        assert!(lines[1].ends_with("1  1  1    \"liver\"") && lines[2].ends_with("\"left 'kidney' x\""), "{text}");
        let numbers: Vec<u32> = lines[1].split_whitespace().map_while(|word| word.parse().ok()).collect();
        assert_eq!(numbers, [1, r.into(), g.into(), b.into(), 1, 1, 1]);
        let text = table(TableFormat::Slicer, &segments());
        assert!(text.contains(&format!("\n1 liver {r} {g} {b} 255\n2 left_\"kidney\"_x ")), "{text}");
        assert_eq!(comment(&segments()), "labels\n1 liver\n2 left \"kidney\" x\n");
    }

    #[test]
    fn the_extension_decides() {
        let format = |name: &str| TableFormat::of_name(Path::new(name));
        assert_eq!((format("a.TXT"), format("a.ctbl")), (Some(TableFormat::ItkSnap), Some(TableFormat::Slicer)));
        let folder = tempfile::tempdir().expect("a folder");
        let error = save(&folder.path().join("a.csv"), &segments()).expect_err("no format").to_string();
        assert!(error.contains(".txt (ITK-SNAP) or .ctbl (3D Slicer)"), "{error}");
        save(&folder.path().join("a.ctbl"), &segments()).expect("written");
    }
}
