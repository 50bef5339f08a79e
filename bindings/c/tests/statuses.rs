//! Every error of the runtime has the status that it has always had.

use std::io;
use std::path::PathBuf;

use segvol::intensity::IntensityError;
use segvol::mask::MaskError;
use segvol::nifti::NiftiError;
use segvol::volume::Affine;
use segvol::{Error, PromptError, Provider, Space, TokenizerError, TruthError, VolumeError};
use segvol_base::OutOfMemory;
use segvol_capi::failure::Failure;
use segvol_onnx::{BundleError, Precision, Stage};

fn path() -> PathBuf {
    PathBuf::from("a file")
}

fn reason() -> String {
    "a reason".to_owned()
}

fn refused() -> io::Error {
    io::Error::other("refused")
}

fn memory() -> OutOfMemory {
    OutOfMemory { what: "a test".into(), bytes: 1, reserve_bytes: 0 }
}

fn volumes() -> Vec<(VolumeError, i32)> {
    let file = |source| VolumeError::File { path: path(), source };
    vec![
        (file(NiftiError::Io(refused())), 40),
        (file(NiftiError::Gzip { position: 0, reason: reason() }), 40),
        (file(NiftiError::TooLarge { shape: [1; 3], limit: 1 }), 40),
        (file(NiftiError::ShortHeader { expected: 348, found: 0 }), 40),
        (file(NiftiError::Memory(memory())), 84),
        (VolumeError::Shape { shape_xyz: [0; 3] }, 41),
        (VolumeError::Length { shape_xyz: [1; 3], expected: 1, found: 2 }, 41),
        (VolumeError::Memory(memory()), 84),
        (VolumeError::Strides { strides: [0; 3], reason: "a reason" }, 42),
        (VolumeError::Scaling { slope: 0.0, intercept: 0.0 }, 3),
        (VolumeError::Affine(Affine::from_spacing([0.0; 3])), 44),
    ]
}

fn masks() -> Vec<(MaskError, i32)> {
    vec![
        (MaskError::Length { shape_xyz: [1; 3], expected: 1, found: 2 }, 83),
        (MaskError::Memory(memory()), 84),
        (MaskError::Name { path: path() }, 83),
        (MaskError::OverScan { path: path() }, 83),
        (MaskError::Io { path: path(), source: refused() }, 83),
    ]
}

fn bundles() -> Vec<BundleError> {
    let text = reason;
    vec![
        BundleError::Io { path: path(), source: refused() },
        BundleError::Link { path: path(), target: path(), reason: reason() },
        BundleError::NotABundle { path: path() },
        BundleError::BadManifest { path: path(), reason: reason() },
        BundleError::Changed { path: path(), expected: text(), found: text() },
        BundleError::MissingPrecision { path: path(), asked: Precision::Int8, held: vec![Precision::Fp32] },
        BundleError::MissingStage { path: path(), stage: Stage::MaskDecoder },
    ]
}

fn prompts() -> Vec<(PromptError, i32)> {
    let (object, what) = (reason, reason);
    vec![
        (PromptError::Nothing, 60),
        (PromptError::TooMany { found: 65536 }, 60),
        (PromptError::Empty { object: object() }, 60),
        (PromptError::NotFinite { object: object(), what: what() }, 60),
        (PromptError::OutsideScan { object: object(), what: what(), space: Space::Voxel, scan: reason() }, 61),
        (PromptError::Inverted { object: object(), what: what() }, 60),
    ]
}

fn names() -> Vec<(TokenizerError, i32)> {
    let text = reason;
    vec![
        (TokenizerError::BadFile { path: path(), reason: reason() }, 20),
        (TokenizerError::Empty { text: text() }, 62),
        (TokenizerError::TooLong { text: text(), limit: 77, found: 78 }, 62),
        (TokenizerError::OutsideVocabulary { text: text(), id: 1, vocabulary: 1 }, 62),
        (TokenizerError::Failed { text: text(), reason: reason() }, 62),
    ]
}

fn intensities() -> Vec<IntensityError> {
    vec![
        IntensityError::NotFinite { index_dhw: [0; 3], value: f32::NAN },
        IntensityError::VoxelsNotFinite { first_ijk: [0; 3], value: f32::NAN, count: 1 },
        IntensityError::Constant { value: 0.0 },
        IntensityError::Spread { minimum: f32::MIN, maximum: f32::MAX },
        IntensityError::Empty,
    ]
}

fn machine() -> Vec<(Error, i32)> {
    let (provider, stage, precision) = (Provider::Cuda, Stage::MaskDecoder, Precision::Fp16);
    vec![
        (Error::Library { path: path(), reason: reason() }, 21),
        (Error::ProviderMissing { provider, offered: vec![Provider::Cpu], library: path() }, 23),
        (Error::ProviderFailed { provider, stage, reason: reason() }, 24),
        (Error::Setting { name: "overlap", expected: "0 to 0.95", found: reason() }, 8),
        (Error::Stage { stage, reason: reason() }, 81),
        (Error::NotFinite { stage, output: "masks", index: 0, found: f32::INFINITY, precision }, 82),
        (Error::Thread(refused()), 81),
        (Error::Memory(memory()), 84),
        (Error::Cancelled, 80),
    ]
}

/// No function of the C interface reads a truth; its errors count as the runtime's own.
fn truths() -> Vec<(TruthError, i32)> {
    vec![
        (TruthError::Memory(memory()), 84),
        (TruthError::Volume(VolumeError::Shape { shape_xyz: [0; 3] }), 81),
        (TruthError::Shape { path: path(), expected: [1; 3], found: [2; 3] }, 81),
        (TruthError::Place { path: path(), found_mm: 9.0, reordered: false }, 81),
        (TruthError::Label { path: path(), voxel_ijk: [0; 3], found: 0.5 }, 81),
        (TruthError::Missing { path: path(), name: reason(), label: 1, found: vec![2] }, 81),
    ]
}

#[track_caller]
fn check(failure: Failure, expected: i32) {
    assert_eq!(failure.status() as i32, expected, "{}", failure.message());
}

#[test]
fn errors_of_scans_and_masks_have_their_status_alone_and_inside_an_error() {
    for ((alone, expected), (inside, _)) in volumes().into_iter().zip(volumes()) {
        check(alone.into(), expected);
        check(Error::from(inside).into(), expected);
    }
    for ((alone, expected), (inside, _)) in masks().into_iter().zip(masks()) {
        check(alone.into(), expected);
        check(Error::from(inside).into(), expected);
    }
}

#[test]
fn errors_of_bundles_prompts_and_intensities_have_their_status() {
    for error in bundles() {
        check(Error::from(error).into(), 20);
    }
    for (error, expected) in prompts() {
        check(Error::from(error).into(), expected);
    }
    for (error, expected) in names() {
        check(Error::from(error).into(), expected);
    }
    for error in intensities() {
        check(Error::from(error).into(), 45);
    }
    for (error, expected) in truths() {
        check(Error::from(error).into(), expected);
    }
}

#[test]
fn errors_of_the_machine_and_of_settings_have_their_status() {
    for (error, expected) in machine() {
        check(error.into(), expected);
    }
    let (stage, reason) = (Stage::MaskDecoder, reason());
    let failed = Failure::from(Error::Stage { stage, reason });
    assert!(failed.message().contains("mask_decoder") && failed.message().contains("a reason"), "{}", failed.message());
}

/// The C library names what a C program can set, whatever the runtime's own message recommends.
#[test]
fn a_library_or_setting_that_fails_is_named_as_in_c() {
    let library = Failure::from(Error::Library { path: path(), reason: reason() });
    let message = library.message();
    assert!(message.starts_with("ONNX Runtime `a file`: a reason; "), "{message}");
    assert!(message.contains("`library` of SegvolOptions") && message.contains("ORT_DYLIB_PATH"), "{message}");
    assert!(!message.contains("--"), "C has no command line: {message}");
    for (name, field) in [("overlap", "overlap"), ("stage provider", "stage_providers")] {
        let setting = Failure::from(Error::Setting { name, expected: "this", found: "that".to_owned() });
        assert_eq!(setting.message(), format!("options.{field}: expected this, found that"));
    }
}
