//! Files and folders that are mistaken for scans.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;

use segvol_volume::Volume;
use segvol_volume::format::*;

/// `bytes`, followed by as many zeros as a header has.
fn padded(bytes: &[u8]) -> Vec<u8> {
    let mut all = bytes.to_vec();
    all.resize(all.len().max(600), 0);
    all
}

fn at(offset: usize, bytes: &[u8]) -> Vec<u8> {
    let mut all = vec![0; offset];
    all.extend(bytes);
    padded(&all)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

/// A zip archive's first bytes: one file of this name.
fn zip(name: &str) -> Vec<u8> {
    let mut bytes = b"PK\x03\x04".to_vec();
    bytes.resize(26, 0);
    bytes.extend((name.len() as u16).to_le_bytes());
    bytes.extend([0, 0]);
    bytes.extend(name.as_bytes());
    padded(&bytes)
}

/// The first elements of a DICOM data set without a preamble, explicit or implicit.
fn bare_dicom(explicit: bool) -> Vec<u8> {
    let element = |group: u16, element: u16, kind: &[u8; 2], value: &[u8]| {
        let mut bytes = [group.to_le_bytes(), element.to_le_bytes()].concat();
        if explicit {
            bytes.extend(kind);
            bytes.extend((value.len() as u16).to_le_bytes());
        } else {
            bytes.extend((value.len() as u32).to_le_bytes());
        }
        bytes.extend(value);
        bytes
    };
    let elements = [
        element(8, 5, b"CS", b"ISO_IR 100"),
        element(8, 0x16, b"UI", b"1.2.840.10008.5.1.4.1.1.2\0"),
        element(8, 0x60, b"CS", b"CT"),
    ];
    padded(&elements.concat())
}

/// What each file is called, and a word of the next step.
fn files() -> Vec<(Vec<u8>, &'static str, &'static str)> {
    let mut mgh = Vec::new();
    for word in [1_i32, 256, 256, 256, 1, 0, 0] {
        mgh.extend(word.to_be_bytes());
    }
    let analyze = at(38, b"r");
    let mut analyze = analyze;
    analyze[..4].copy_from_slice(&348_i32.to_le_bytes());
    let mut weights = 200_u64.to_le_bytes().to_vec();
    weights.extend(b"{\"__metadata__\":{}}");
    let mut bmp = b"BM".to_vec();
    bmp.resize(14, 1);
    bmp.extend([40, 0, 0, 0]);
    vec![
        (at(128, b"DICM"), "a DICOM file", "dcm2niix"),
        (bare_dicom(true), "a DICOM file", "dcm2niix"),
        (bare_dicom(false), "a DICOM file", "dcm2niix"),
        (padded(b"\x89PNG\r\n\x1a\n"), "a PNG picture", "Hounsfield"),
        (padded(b"\xff\xd8\xff\xe0"), "a JPEG picture", "Hounsfield"),
        (padded(b"II*\0\x08\0\0\0"), "a TIFF picture", "Hounsfield"),
        (padded(b"MM\0*\0\0\0\x08"), "a TIFF picture", "Hounsfield"),
        (padded(&bmp), "a BMP picture", "Hounsfield"),
        (padded(b"%PDF-1.7"), "a PDF document", "path"),
        (at(257, b"ustar\0"), "a tar archive", "unpack"),
        (zip("scan/ct.nii"), "a zip archive", "unpack"),
        (zip("arr_0.npy"), "a NumPy archive", "affine"),
        (zip("archive/data.pkl"), "a PyTorch checkpoint", "scan"),
        (padded(b"\x80\x02\x8a\x0al\xfc\x9cF"), "a Python pickle", "scan"),
        (padded(b"\x08\x0a\x12\x07pytorch\x1a"), "an ONNX graph", "scan"),
        (weights, "a safetensors file", "scan"),
        (padded(b"\x93NUMPY\x01\0"), "a NumPy array", "nibabel"),
        (padded(b"\x89HDF\r\n\x1a\n"), "an HDF5 file", "convert"),
        (padded(b"CDF\x01"), "a netCDF file (MINC 1)", "convert"),
        (padded(b"MATLAB 5.0 MAT-file"), "a MATLAB file", "NIfTI"),
        (padded(&mgh), "a FreeSurfer volume", "mri_convert"),
        (analyze, "an Analyze 7.5 header", "orientation"),
        (padded(b"BZh91AY"), "a bzip2 archive", "unpack"),
        (padded(b"\xfd7zXZ\0"), "an xz archive", "unpack"),
        (b"\n <!DOCTYPE html>\n<html><body>Sign in</body></html>".to_vec(), "an HTML page", "download"),
        (b"<HTML><HEAD>404".to_vec(), "an HTML page", "download"),
        ("\u{feff}<html lang=\"de\">Größe".as_bytes().to_vec(), "an HTML page", "download"),
        (b"<?xml version=\"1.0\"?><Error>AccessDenied</Error>".to_vec(), "an XML file", "download"),
        (b"{\"message\": \"Not Found\"}".to_vec(), "a JSON file", "path"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n".to_vec(),
            "a Git LFS pointer",
            "git lfs pull",
        ),
        (b"/annex/objects/MD5E-s123--d41d8cd9.nii.gz\n".to_vec(), "a git-annex pointer", "git annex get"),
        (b"patient,label\n1,2\n".to_vec(), "a text file", "path"),
        (Vec::new(), "an empty file", "again"),
        (vec![0; 4096], "a file of zeros", "again"),
    ]
}

#[test]
fn a_name_asks_for_a_format() {
    let format = |name: &str| Format::of_name(Path::new(name));
    assert_eq!(format("a/mask.nii"), Some(Format::Nifti));
    assert_eq!(format("MASK.NII.GZ"), Some(Format::NiftiGzip));
    assert_eq!(format("mask.NRRD"), Some(Format::Nrrd));
    assert_eq!(format("mask.mha"), Some(Format::MetaImage));
    for name in ["mask.seg.nrrd", "mask.SEG.NRRD", "mask.nhdr", "mask.mhd", "mask.dcm", "nii", "mha", "nrrd"] {
        assert_eq!(format(name), None, "{name}");
    }
}

#[test]
fn a_name_is_that_of_a_scan_or_not() {
    let stem = |name: &str| scan_stem(Path::new(name));
    for name in ["a/ct.nii", "ct.NII.GZ", "ct.nrrd", "ct.nhdr", "ct.mha", "ct.MHD"] {
        assert_eq!(stem(name).as_deref(), Some("ct"), "{name}");
        assert!(is_scan_name(Path::new(name)));
    }
    for name in ["ct.seg.nrrd", "ct.dcm", "ct.gz", "ct.raw", "ct", "nii"] {
        assert_eq!(stem(name), None, "{name}");
    }
}

#[test]
fn scans_of_other_formats_are_recognised() {
    let headers: [(&[u8], Kind, &str); 4] = [
        (b"NRRD0005\ntype: short\nencoding: gzip\n\n", Kind::Nrrd, "an NRRD file"),
        (b"NRRD0005\ntype: short\ndata file: ct.raw\n", Kind::Nrrd, "an NRRD header"),
        (b"ObjectType = Image\nNDims = 3\nElementDataFile = LOCAL\n", Kind::MetaImage, "a MetaImage file"),
        (b"ObjectType = Image\nNDims = 3\nElementDataFile = a.raw\n", Kind::MetaImage, "a MetaImage header"),
    ];
    for (bytes, kind, what) in headers {
        let found = recognise(bytes).expect("known");
        assert!(found.kind == kind && found.what.starts_with(what) && found.next.is_empty(), "{found}");
        // These formats compress only their voxels.
        let error = Volume::read(&gzip(bytes)[..]).expect_err("packed").to_string();
        assert!(error.contains(&format!("a gzip file that holds {what}")) && error.contains("gunzip"), "{error}");
    }
}

#[test]
fn files_that_are_mistaken_for_scans_are_named_with_the_next_step() {
    let folder = tempfile::tempdir().expect("folder");
    for (bytes, what, next) in files() {
        // Whatever the name says, and from a network too.
        for name in ["ct.nii", "ct.nii.gz", "IM0001"] {
            let path = folder.path().join(name);
            fs::write(&path, &bytes).expect("written");
            let found = recognise_path(&path).expect("readable").expect("known");
            assert!(found.what.starts_with(what) && found.next.contains(next), "{what}: {found}");
            let error = Volume::open(&path).expect_err(what).to_string();
            assert!(error.contains(name), "{what}: {error}");
            // These are read, and are damaged here.
            if cfg!(feature = "dicom") && matches!(found.kind, Kind::Dicom | Kind::Zip) {
                continue;
            }
            assert!(error.contains(what) && error.contains(next), "{what}: {error}");
        }
        let error = Volume::read(&bytes[..]).expect_err(what).to_string();
        assert!(error.contains(what) && error.contains(next), "{what}: {error}");

        if !bytes.is_empty() {
            let packed = gzip(&bytes);
            let path = folder.path().join("packed.nii.gz");
            fs::write(&path, &packed).expect("written");
            let expected = format!("a gzip file that holds {what}");
            let found = recognise_path(&path).expect("readable").expect("known");
            assert!(found.what.starts_with(&expected), "{expected}: {found}");
            let error = Volume::open(&path).expect_err(what).to_string();
            assert!(error.contains(&expected) && error.contains(next), "{what}: {error}");
        }
    }
    let twice = gzip(&gzip(b"anything"));
    let error = Volume::read(&twice[..]).expect_err("packed twice").to_string();
    assert!(error.contains("gzip file inside a gzip file") && error.contains("gunzip"), "{error}");
}

/// What is not known keeps the message with the header's field.
#[test]
fn noise_is_not_named() {
    let noise: Vec<u8> = (0..600_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 23) as u8).collect();
    assert_eq!(recognise(&noise), None);
    let error = Volume::read(&noise[..]).expect_err("noise").to_string();
    assert!(error.contains("`sizeof_hdr`"), "{error}");
}

#[test]
fn no_beginning_of_a_file_is_taken_for_nifti_or_panics() {
    for (bytes, what, _) in files() {
        for end in 0..bytes.len().min(600) {
            let found = recognise(&bytes[..end]);
            assert!(found.is_none_or(|found| found.kind != Kind::Nifti), "{what}, {end} bytes");
        }
    }
}

#[test]
fn a_nifti_file_is_recognised_compressed_or_not() {
    let folder = tempfile::tempdir().expect("folder");
    let affine = segvol_volume::Affine::from_spacing([1.0; 3]);
    let volume = Volume::new([2, 2, 2], vec![0.0; 8], affine).expect("a volume");
    let mask = segvol_volume::mask::Mask::from_labels(vec![1_u8; 8], volume.grid().clone()).expect("a mask");
    for name in ["mask.nii", "mask.nii.gz"] {
        let path = folder.path().join(name);
        mask.save(&path).expect("saved");
        let found = recognise_path(&path).expect("readable").expect("known");
        assert_eq!(found.kind, Kind::Nifti, "{name}");
    }
}

#[test]
fn folders_are_named_by_what_is_in_them() {
    let folder = tempfile::tempdir().expect("folder");
    let expect = |path: &Path, what: &str, next: &str| {
        let error = Volume::open(path).expect_err(what).to_string();
        assert!(error.contains(what) && error.contains(next), "{what}: {error}");
    };
    let series = folder.path().join("series");
    fs::create_dir_all(series.join("study/CT")).expect("a folder");
    expect(&series, "an empty folder", "file");
    fs::write(series.join("study/notes.txt"), "text").expect("written");
    expect(&series, "a folder", "file");
    fs::write(series.join("study/CT/IM0001"), at(128, b"DICM")).expect("written");
    let (what, next) =
        if cfg!(feature = "dicom") { ("CT/IM0001", "cannot be read") } else { ("a folder of DICOM files", "dcm2niix") };
    expect(&series, what, next);

    let scans = folder.path().join("scans");
    fs::create_dir(&scans).expect("a folder");
    let mut nifti = at(344, b"n+1\0");
    nifti[..4].copy_from_slice(&348_i32.to_le_bytes());
    fs::write(scans.join("a.nii"), &nifti).expect("written");
    expect(&scans, "a folder with one NIfTI file", "`a.nii`");
    fs::write(scans.join("b.nii"), &nifti).expect("written");
    expect(&scans, "a folder with 2 NIfTI files", "`a.nii`");

    let bundle = folder.path().join("bundle");
    fs::create_dir(&bundle).expect("a folder");
    fs::write(bundle.join("manifest.json"), "{}").expect("written");
    expect(&bundle, "a bundle", "scan");
}

#[cfg(unix)]
#[test]
fn links_to_files_that_are_not_here_are_named() {
    use std::os::unix::fs::symlink;
    let folder = tempfile::tempdir().expect("folder");
    let link = |name: &str, target: &str| {
        let path = folder.path().join(name);
        symlink(target, &path).expect("a link");
        Volume::open(&path).expect_err("nothing there").to_string()
    };
    let error = link("annex.nii.gz", "../.git/annex/objects/xx/MD5E-s1--d4.nii.gz/MD5E-s1--d4.nii.gz");
    assert!(error.contains("git annex get"), "{error}");
    let error = link("broken.nii.gz", "elsewhere.nii.gz");
    assert!(error.contains("a link to `elsewhere.nii.gz`, which does not exist"), "{error}");
    let error = Volume::open(folder.path().join("missing.nii")).expect_err("nothing there").to_string();
    assert!(error.contains("cannot read"), "{error}");
}
