//! Reads an uploaded scan, and prepares it for prompts.

use std::borrow::Borrow;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::sync::Arc;

use segvol::volume::format::{Kind, recognise};
use segvol::{Cancellation, ReadOptions, Study, StudyOptions, Volume};

use crate::app::{App, Shared};
use crate::call::on_a_thread;
use crate::error::ApiError;
use crate::look_ahead;
use crate::session::memory::Reserved;
use crate::session::{OpenScan, Session};

/// How many bytes of a file say what it is.
const RECOGNISED_BYTES: u64 = 4096;

/// Bytes per voxel that a session may hold or work with, whatever is asked for: Hounsfield units (4), the image of the model (4), recent
/// label maps (3), and the mask or the logits of an object while it is handed out (5).
const BYTES_PER_VOXEL: u64 = 16;

/// Replaces the scan of a session by what `read` makes, one after the other with all calls: that takes memory, and cores.
pub(crate) async fn replace<E: From<ApiError> + Send + 'static>(
    app: &Shared,
    session: &Session,
    read: impl FnOnce(&App) -> Result<OpenScan, E> + Send + 'static,
) -> Result<Arc<OpenScan>, E> {
    session.drop_scan();
    let turn = app.turns.queue()?.turn().await;
    let shared = Arc::clone(app);
    let read = on_a_thread(move || {
        let _turn = turn;
        Ok(read(&shared))
    });
    let scan = session.set_scan(read.await??)?;
    look_ahead::begin(app, &scan);
    Ok(scan)
}

/// Reads an upload, and prepares it.
pub(crate) fn open(app: &App, mut upload: File, options: &ReadOptions) -> Result<OpenScan, ApiError> {
    let kind = kind_of(&mut upload)?;
    let reading = reserve(app, bytes_to_read(&upload, kind)?)?;
    let (volume, is_dicom, upload) = match kind {
        Some(Kind::Dicom | Kind::Zip) => {
            let (volume, upload) = dicom(app, upload, kind, options)?;
            (volume, true, Some(upload))
        }
        _ => (plain(upload, options)?, false, None),
    };
    drop(reading);
    prepare(app, volume, is_dicom, upload)
}

/// Prepares a volume for prompts.
pub(crate) fn prepare(app: &App, volume: Volume, is_dicom: bool, upload: Option<File>) -> Result<OpenScan, ApiError> {
    let (study, reserved) = study(app, &volume, &app.settings.study)?;
    let warnings = study.warnings().to_vec();
    Ok(OpenScan {
        volume: Arc::new(volume),
        study,
        is_dicom,
        warnings,
        look_ahead: Cancellation::new(),
        _upload: upload,
        _reserved: reserved,
    })
}

/// A volume as it is segmented, and the memory that this takes. One that is passed by value is freed as soon as possible.
pub(crate) fn study(
    app: &App,
    volume: impl Borrow<Volume>,
    options: &StudyOptions,
) -> Result<(Study, Reserved), ApiError> {
    let voxels = volume.borrow().voxels().len() as u64;
    let cache = options.cache_bytes as u64;
    let reserved = reserve(app, voxels.saturating_mul(BYTES_PER_VOXEL).saturating_add(cache))?;
    Ok((app.model.study_with(volume, options)?, reserved))
}

/// Promises memory to a session.
pub(crate) fn reserve(app: &App, bytes: u64) -> Result<Reserved, ApiError> {
    app.memory.reserve("the scan", bytes)
}

/// Memory that reading an upload takes. A file that is compressed may have many more voxels than bytes; its header or directory says
/// how many, and more are not read.
fn bytes_to_read(upload: &File, kind: Option<Kind>) -> Result<u64, ApiError> {
    let path = path_of(upload);
    let stored = upload.metadata().map_err(unreadable)?.len();
    let voxel = size_of::<f32>() as u64;
    Ok(match kind {
        // The files, and a voxel for each two bytes of them.
        #[cfg(feature = "dicom")]
        Some(Kind::Zip) => {
            segvol::volume::segvol_dicom::unpacked_bytes(&path).unwrap_or(stored).saturating_mul(1 + voxel / 2)
        }
        Some(Kind::Dicom) => stored.saturating_mul(1 + voxel / 2),
        _ => segvol::volume::stated_voxels(&path).unwrap_or(stored).saturating_mul(voxel),
    })
}

fn unreadable(error: std::io::Error) -> ApiError {
    ApiError::internal(format!("the upload cannot be read: {error}"))
}

fn kind_of(upload: &mut File) -> Result<Option<Kind>, ApiError> {
    let mut head = Vec::new();
    upload.seek(SeekFrom::Start(0)).map_err(unreadable)?;
    upload.by_ref().take(RECOGNISED_BYTES).read_to_end(&mut head).map_err(unreadable)?;
    upload.seek(SeekFrom::Start(0)).map_err(unreadable)?;
    if head.is_empty() {
        return Err(ApiError::unprocessable("empty", "expected a scan, found an empty body"));
    }
    Ok(recognise(&head).map(|found| found.kind))
}

/// Reads NIfTI, NRRD or MetaImage with its voxels behind the header. No other file is opened, whatever the header says.
fn plain(upload: File, options: &ReadOptions) -> Result<Volume, ApiError> {
    Volume::read_with(upload, options).map_err(|error| ApiError::of_kind(error.kind(), error.to_string()))
}

#[cfg(feature = "dicom")]
fn dicom(app: &App, upload: File, kind: Option<Kind>, options: &ReadOptions) -> Result<(Volume, File), ApiError> {
    // A lone file would stand for the series in its folder, and an upload is in none.
    let upload = if kind == Some(Kind::Dicom) { zipped(app, upload)? } else { upload };
    let path = path_of(&upload);
    if !segvol::volume::dicom::is_dicom(&path) {
        return Err(ApiError::unprocessable("no_scan_in_zip", "the zip has no DICOM series"));
    }
    let volume = Volume::open_with(&path, options).map_err(|error| {
        let message = error.to_string().replace(&path.display().to_string(), "upload");
        ApiError::of_kind(error.kind(), message)
    })?;
    Ok((volume, upload))
}

/// The name under which this process can open a file that has none. Empty where there is no such name: DICOM is refused there.
fn path_of(file: &File) -> std::path::PathBuf {
    #[cfg(unix)]
    {
        use std::os::fd::AsRawFd as _;
        let folder = if cfg!(target_os = "linux") { "/proc/self/fd" } else { "/dev/fd" };
        std::path::PathBuf::from(format!("{folder}/{}", file.as_raw_fd()))
    }
    #[cfg(not(unix))]
    {
        let _ = file;
        std::path::PathBuf::new()
    }
}

/// The file as the only one of a zip.
#[cfg(feature = "dicom")]
fn zipped(app: &App, mut file: File) -> Result<File, ApiError> {
    let failed = |error: std::io::Error| ApiError::internal(format!("the upload cannot be stored: {error}"));
    let mut zip = zip::ZipWriter::new(crate::upload::nameless(app.settings.uploads.as_deref())?);
    let stored =
        zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored).large_file(true);
    zip.start_file("upload.dcm", stored).map_err(|error| failed(error.into()))?;
    std::io::copy(&mut file, &mut zip).map_err(failed)?;
    zip.finish().map_err(|error| failed(error.into()))
}

#[cfg(not(feature = "dicom"))]
fn dicom(_: &App, _: File, _: Option<Kind>, _: &ReadOptions) -> Result<(Volume, File), ApiError> {
    Err(ApiError::unprocessable("no_dicom", "this server was built without DICOM: send NIfTI, NRRD or MetaImage"))
}
