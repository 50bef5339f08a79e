//! The files that a header names for its voxels.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use super::{RasterError, shown};

/// The most files of one scan.
const MAX_FILES: usize = 1 << 16;

/// Where voxels are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// After the header.
    Here,
    /// In files, in this order.
    Files(Vec<String>),
}

/// The folder of a header, and the field that names files.
#[derive(Clone, Copy)]
pub(crate) struct Places<'a> {
    /// The folder; `None` if the header did not come from a file.
    pub(crate) folder: Option<&'a Path>,
    /// The field's name.
    pub(crate) field: &'static str,
}

impl Places<'_> {
    fn refused(&self, name: &str, reason: impl Into<String>) -> RasterError {
        let name = shown(name).trim_matches('"').to_owned();
        RasterError::DataFile { field: self.field, name, reason: reason.into() }
    }

    /// The path of a file, which is in the header's folder.
    pub(crate) fn path(&self, name: &str) -> Result<PathBuf, RasterError> {
        let outside = name.split(['/', '\\']).any(|part| part == "..");
        let drive = name.as_bytes().get(1) == Some(&b':') && name.as_bytes()[0].is_ascii_alphabetic();
        if outside || drive || name.starts_with(['/', '\\']) || Path::new(name).is_absolute() {
            let reason = "expected a file in the header's folder, named relative to it; move both into one folder and \
                          correct the name";
            return Err(self.refused(name, reason));
        }
        let Some(folder) = self.folder else {
            let reason = "bytes from a reader cannot name another file; open the header by its path";
            return Err(self.refused(name, reason));
        };
        Ok(folder.join(name))
    }

    /// Opens a file. Returns its path and its length, too.
    pub(crate) fn open(&self, name: &str) -> Result<(BufReader<File>, PathBuf, u64), RasterError> {
        let path = self.path(name)?;
        // A pipe would wait, and a device has no end.
        let metadata = path.metadata().map_err(|error| self.refused(name, format!("cannot read: {error}")))?;
        if !metadata.is_file() {
            return Err(self.refused(name, "expected a file, found a folder or a device"));
        }
        let file = File::open(&path).map_err(|error| self.refused(name, format!("cannot read: {error}")))?;
        Ok((BufReader::with_capacity(1 << 18, file), path, metadata.len()))
    }
}

/// The names that a pattern such as `slice%03d.raw` stands for: one for each number from `first` to `last`, in steps of `step`.
///
/// A pattern has one `%d`, perhaps with a width (`%3d` pads with spaces, `%03d` with zeros; `u` and `i` are `d`), and `%%` for a `%`.
pub(crate) fn pattern(
    field: &'static str,
    pattern: &str,
    [first, last, step]: [i64; 3],
) -> Result<Vec<String>, RasterError> {
    let invalid = || RasterError::field(field, "a name with one %d, such as slice%03d.raw", pattern);
    let range = || {
        RasterError::field(
            field,
            format!("numbers from a first to a last by a step, at most {MAX_FILES} of them"),
            format!("{first} {last} {step}"),
        )
    };
    if step == 0 || (step > 0) != (last >= first) && first != last {
        return Err(range());
    }
    let count = (i128::from(last) - i128::from(first)) / i128::from(step) + 1;
    let count = usize::try_from(count).ok().filter(|&count| count <= MAX_FILES).ok_or_else(range)?;

    let (mut before, mut after, mut number) = (String::new(), String::new(), None);
    let mut rest = pattern.chars();
    while let Some(c) = rest.next() {
        let text = if number.is_none() { &mut before } else { &mut after };
        if c != '%' {
            text.push(c);
            continue;
        }
        let mut width = String::new();
        let kind = loop {
            match rest.next().ok_or_else(invalid)? {
                digit if digit.is_ascii_digit() && width.len() < 3 => width.push(digit),
                other => break other,
            }
        };
        match kind {
            '%' if width.is_empty() => text.push('%'),
            'd' | 'i' | 'u' if number.is_none() => {
                let zeros = width.starts_with('0');
                number = Some((zeros, width.parse::<usize>().unwrap_or(0)));
            }
            _ => return Err(invalid()),
        }
    }
    let (zeros, width) = number.ok_or_else(invalid)?;
    let name = |n: usize| {
        let value = i128::from(first) + i128::from(step) * n as i128;
        let number = if zeros { format!("{value:0width$}") } else { format!("{value:width$}") };
        format!("{before}{number}{after}")
    };
    Ok((0..count).map(name).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_those_of_printf() {
        let names = |text: &str, range| pattern("data file", text, range).expect("a pattern");
        assert_eq!(names("a%03d.raw", [8, 10, 1]), ["a008.raw", "a009.raw", "a010.raw"]);
        assert_eq!(names("%d%%.raw", [4, 0, -2]), ["4%.raw", "2%.raw", "0%.raw"]);
        assert_eq!(names("s%2i", [9, 11, 2]), ["s 9", "s11"]);
        assert_eq!(names("s%u", [5, 5, 1]), ["s5"]);
        for text in ["a.raw", "%d%d", "%s", "%", "%0", "a%5", "%n", "%99999d"] {
            pattern("data file", text, [0, 1, 1]).expect_err(text);
        }
        for range in [[0, 1, 0], [1, 0, 1], [0, 1, -1], [0, i64::MAX, 1], [i64::MIN, i64::MAX, 1]] {
            pattern("data file", "%d", range).expect_err("no such range");
        }
    }

    #[test]
    fn names_never_leave_the_folder() {
        let place = Places { folder: Some(Path::new("/scans/a")), field: "data file" };
        assert_eq!(place.path("raw/ct.raw").expect("inside"), Path::new("/scans/a/raw/ct.raw"));
        assert_eq!(place.path("./ct..raw").expect("inside"), Path::new("/scans/a/./ct..raw"));
        for name in
            ["/etc/passwd", "../ct.raw", "a/../../b", "..", "C:\\ct.raw", "c:ct.raw", "\\\\host\\ct", "a\\..\\b"]
        {
            let error = place.path(name).expect_err(name).to_string();
            assert!(error.contains("in the header's folder"), "{error}");
        }
        let error = Places { folder: None, field: "data file" }.path("ct.raw").expect_err("no folder").to_string();
        assert!(error.contains("open the header by its path"), "{error}");
    }
}
