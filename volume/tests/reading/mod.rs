//! What the tests of NRRD and MetaImage share.

use segvol_base::WarningCode;
use segvol_volume::{Volume, VolumeError};

#[track_caller]
pub(crate) fn volume(bytes: &[u8]) -> Volume {
    Volume::read(bytes).unwrap_or_else(|error| panic!("{error}"))
}

#[track_caller]
pub(crate) fn refused(bytes: &[u8], parts: &[&str]) {
    let error = Volume::read(bytes).expect_err("not a scan");
    assert!(matches!(error, VolumeError::RasterContents(_)), "{error}");
    for part in parts {
        assert!(error.to_string().contains(part), "no {part:?} in: {error}");
    }
}

pub(crate) fn codes(volume: &Volume) -> Vec<WarningCode> {
    let about_header = |code: &WarningCode| !code.name().starts_with("intensity");
    volume.warnings().iter().map(|warning| warning.code).filter(about_header).collect()
}
