//! All images of a folder, an archive or a file, without their pixels.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use segvol_archive::region::Region;

use crate::error::DicomError;
use crate::header::{HEAD_BYTES, is_dicom};
use crate::image::ImageFile;
use crate::input::Input;
use crate::{folder, zip};

/// What was found.
#[derive(Debug)]
pub(crate) struct Study {
    pub(crate) path: PathBuf,
    /// DICOM files, in the order of their names.
    pub(crate) files: Vec<ImageFile>,
    /// Files that are DICOM but cannot be read, and why.
    pub(crate) unreadable: Vec<(String, String)>,
    /// Files without a byte, whose names say DICOM.
    pub(crate) empty: Vec<String>,
    /// Files that are not DICOM.
    pub(crate) others: usize,
    /// The file that was given, if it was one slice of a series.
    pub(crate) given: Option<String>,
}

/// What one file is.
enum Kind {
    Image(Box<ImageFile>),
    Unreadable(String, String),
    Empty(String),
    Other,
}

impl Study {
    /// Looks into everything at `path`.
    ///
    /// # Errors
    ///
    /// [`DicomError::Io`] if it cannot be read; [`DicomError::NoScan`] if it is neither a folder, nor a zip, nor DICOM.
    pub(crate) fn open(path: &Path) -> Result<Self, DicomError> {
        let io = |source| DicomError::Io { path: path.to_path_buf(), source };
        let metadata = fs::metadata(path).map_err(io)?;
        if metadata.is_dir() {
            return Ok(Self::of(path, folder::files(path)?));
        }
        let refused = |reason: &str| DicomError::NoScan { path: path.to_path_buf(), reason: reason.to_owned() };
        if !metadata.is_file() {
            return Err(refused("it is neither a file nor a folder"));
        }
        let mut head = Vec::new();
        File::open(path).and_then(|file| file.take(HEAD_BYTES as u64).read_to_end(&mut head)).map_err(io)?;
        if zip::is_zip(&head) {
            return Ok(Self::of(path, zip::files(path)?));
        }
        if !is_dicom(&head) {
            return Err(refused("it is not a DICOM file"));
        }
        Self::of_file(path)
    }

    /// Whether there is a DICOM file. The walk ends at the first one.
    ///
    /// # Errors
    ///
    /// [`DicomError::Io`] if `path` cannot be read.
    pub(crate) fn holds_dicom(path: &Path) -> Result<bool, DicomError> {
        let io = |source| DicomError::Io { path: path.to_path_buf(), source };
        let metadata = fs::metadata(path).map_err(io)?;
        let is = |input: &Input| input.head(HEAD_BYTES).is_ok_and(|head| is_dicom(&head));
        if metadata.is_dir() {
            return Ok(folder::files(path)?.iter().any(is));
        }
        if !metadata.is_file() {
            return Ok(false);
        }
        let input = Input::on_disk(path.to_path_buf(), String::new());
        if !input.head(HEAD_BYTES).is_ok_and(|head| zip::is_zip(&head)) {
            return Ok(is(&input));
        }
        // An entry that cannot be read, as in an encrypted archive, may be one.
        let heads = zip::files(path)?.into_iter().map(|input| (input.head(HEAD_BYTES), input));
        for (head, input) in heads {
            match head {
                Ok(head) if is_dicom(&head) => return Ok(true),
                Ok(_) => {}
                Err(reason) => {
                    return Err(DicomError::File { path: path.to_path_buf(), name: input.shown(), reason });
                }
            }
        }
        Ok(false)
    }

    /// Looks into bytes: a zip archive, or one file.
    ///
    /// # Errors
    ///
    /// [`DicomError::NoScan`] if they are neither.
    pub(crate) fn of_bytes(bytes: Vec<u8>) -> Result<Self, DicomError> {
        let path = Path::new("the bytes");
        let refused = |reason| DicomError::NoScan { path: path.to_path_buf(), reason };
        if zip::is_zip(&bytes) {
            return Ok(Self::of(path, zip::files_of(Region::of_memory(bytes)).map_err(refused)?));
        }
        if !is_dicom(&bytes) {
            return Err(refused("they are not a DICOM file".to_owned()));
        }
        Ok(Self::of(path, vec![Input::in_memory(bytes.into())]))
    }

    /// The series of one file: from its folder, unless it has several frames.
    fn of_file(path: &Path) -> Result<Self, DicomError> {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let shown = segvol_base::printable(&name).into_owned();
        let given = ImageFile::read(Input::on_disk(path.to_path_buf(), name));
        let failed = |reason| DicomError::File { path: path.to_path_buf(), name: shown.clone(), reason };
        let given = given.map_err(failed)?;
        if let Some(what) = &given.passed_over {
            let reason = format!("this file is {what}; give a CT image, or the folder of its series");
            return Err(DicomError::NoScan { path: path.to_path_buf(), reason });
        }
        if let Some(reason) = &given.fault {
            return Err(failed(reason.clone()));
        }
        if given.frames.iter().all(|frame| frame.is_localizer()) {
            let reason =
                "this file is a localizer (Image Type), an overview picture; give an image of the scan".to_owned();
            return Err(DicomError::NoScan { path: path.to_path_buf(), reason });
        }
        let mut alone = Self::empty(path);
        if given.has_frames {
            alone.files.push(given);
            return Ok(alone);
        }
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut beside = Self::of(path, folder::files_beside(parent)?);
        beside
            .files
            .retain(|file| file.series == given.series && (!file.has_frames || file.input.name == given.input.name));
        // A hidden file that is given by its name.
        if !beside.files.iter().any(|file| file.input.name == given.input.name) {
            beside.files.push(given);
        }
        beside.given = Some(shown);
        Ok(beside)
    }

    /// As [`Study::open`], but one file is looked at alone, whatever it is.
    ///
    /// # Errors
    ///
    /// As [`Study::open`].
    pub(crate) fn everything(path: &Path) -> Result<Self, DicomError> {
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_file() && Self::is_bare(path) => {
                let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
                Ok(Self::of(path, vec![Input::on_disk(path.to_path_buf(), name)]))
            }
            _ => Self::open(path),
        }
    }

    pub(crate) fn is_bare(path: &Path) -> bool {
        Input::on_disk(path.to_path_buf(), String::new()).head(HEAD_BYTES).is_ok_and(|head| is_dicom(&head))
    }

    fn empty(path: &Path) -> Self {
        let path = path.to_path_buf();
        Self { path, files: Vec::new(), unreadable: Vec::new(), empty: Vec::new(), others: 0, given: None }
    }

    /// What these files are.
    pub(crate) fn of(path: &Path, inputs: Vec<Input>) -> Self {
        let kinds: Vec<Kind> = inputs.into_par_iter().map(kind).collect();
        let mut study = Self::empty(path);
        for kind in kinds {
            match kind {
                Kind::Image(file) => study.files.push(*file),
                Kind::Unreadable(name, reason) => study.unreadable.push((name, reason)),
                Kind::Empty(name) => study.empty.push(name),
                Kind::Other => study.others += 1,
            }
        }
        study
    }

    /// Refuses DICOM files whose series is not known.
    ///
    /// # Errors
    ///
    /// [`DicomError::File`] with the first of them.
    pub(crate) fn check_readable(&self) -> Result<(), DicomError> {
        match self.unreadable.first() {
            None => Ok(()),
            Some((name, reason)) => {
                Err(DicomError::File { path: self.path.clone(), name: name.clone(), reason: reason.clone() })
            }
        }
    }

    /// The series, in the order of study, number and UID.
    pub(crate) fn series(&self) -> Vec<Series<'_>> {
        let mut found: BTreeMap<&str, Series<'_>> = BTreeMap::new();
        for file in &self.files {
            let series = found.entry(&file.series).or_insert_with(|| Series::new(&file.series));
            series.add(file);
        }
        let mut series: Vec<Series<'_>> = found.into_values().collect();
        series.sort_by_cached_key(|series| {
            let number = series.number();
            let whole = number.and_then(|number| number.parse::<i64>().ok()).unwrap_or(i64::MAX);
            (series.study().map(str::to_owned), whole, number.map(str::to_owned), series.uid.to_owned())
        });
        series
    }
}

fn kind(input: Input) -> Kind {
    let unreadable = |input: &Input, reason| Kind::Unreadable(input.shown(), reason);
    let head = match input.head(HEAD_BYTES) {
        Ok(head) => head,
        Err(reason) => return unreadable(&input, reason),
    };
    if head.is_empty() && input.name.to_ascii_lowercase().ends_with(".dcm") {
        return Kind::Empty(input.shown());
    }
    if !is_dicom(&head) {
        return Kind::Other;
    }
    let again = input.clone();
    match ImageFile::read(input) {
        // What it is cannot be told.
        Ok(file)
            if file.fault.is_some() && file.series.is_empty() && file.frames.is_empty() && file.format.is_none() =>
        {
            unreadable(&again, file.fault.unwrap_or_default())
        }
        Ok(file) => Kind::Image(Box::new(file)),
        Err(reason) => unreadable(&again, reason),
    }
}

/// The files of one Series Instance UID.
#[derive(Debug)]
pub(crate) struct Series<'a> {
    /// Empty if the images have none.
    pub(crate) uid: &'a str,
    /// Files with images that can be part of a scan, those that cannot be read, and localizers.
    pub(crate) files: Vec<&'a ImageFile>,
    /// Files that are passed over: what they are, and how many.
    pub(crate) passed_over: BTreeMap<&'a str, Vec<&'a ImageFile>>,
}

impl<'a> Series<'a> {
    fn new(uid: &'a str) -> Self {
        Self { uid, files: Vec::new(), passed_over: BTreeMap::new() }
    }

    fn add(&mut self, file: &'a ImageFile) {
        match &file.passed_over {
            Some(what) => self.passed_over.entry(what).or_default().push(file),
            None => self.files.push(file),
        }
    }

    /// A file that speaks for the series.
    pub(crate) fn first(&self) -> Option<&'a ImageFile> {
        let passed_over = || self.passed_over.values().flatten().next();
        // A damaged file may lack attributes.
        let whole = self.files.iter().find(|file| file.fault.is_none());
        whole.or(self.files.first()).or_else(passed_over).copied()
    }

    pub(crate) fn study(&self) -> Option<&'a str> {
        self.first()?.study.as_deref()
    }

    pub(crate) fn number(&self) -> Option<&'a str> {
        self.first()?.number.as_deref()
    }

    pub(crate) fn modality(&self) -> Option<&'a str> {
        self.first()?.modality.as_deref()
    }

    /// The images that can be part of a scan: file and number of the frame.
    pub(crate) fn images(&self) -> Vec<(&'a ImageFile, usize)> {
        let frames = self.files.iter().flat_map(|file| (0..file.frames.len()).map(move |frame| (*file, frame)));
        frames.filter(|(file, frame)| !file.frames[*frame].is_localizer()).collect()
    }

    /// How many images are localizers.
    pub(crate) fn localizers(&self) -> usize {
        self.files.iter().flat_map(|file| &file.frames).filter(|frame| frame.is_localizer()).count()
    }

    /// Whether it has images, or files that should be images.
    pub(crate) fn is_candidate(&self) -> bool {
        self.files.iter().any(|file| file.fault.is_some()) || !self.images().is_empty()
    }
}
