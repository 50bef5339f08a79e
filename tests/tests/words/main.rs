//! What the command says to its users: help texts, errors and warnings. Each page of `tests/words/` is compared with what the
//! command prints now.
//!
//! After a change of wording, write the pages again, and read the difference:
//!
//! ```sh
//! SNAPSHOTS=overwrite scripts/test --test words
//! ```

mod fixtures;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use segvol::mask::MaskError;
use segvol::{Error, Provider};
use segvol_base::OutOfMemory;
use segvol_converter::{CheckpointError, ConvertError};
use segvol_evaluation::EvaluationError;
use segvol_onnx::{BundleError, Precision, Stage};
use segvol_segments::SegmentsError;
use segvol_tests::command::SEGVOL;
use snapbox::Data;
use snapbox::data::DataFormat;

use crate::fixtures::FOLDER;

/// The subcommands, in the order of the help.
const COMMANDS: [&str; 18] = [
    "convert",
    "inspect",
    "names",
    "providers",
    "setup",
    "copy",
    "segment",
    "embed",
    "eval",
    "cohort",
    "cohort summary",
    "compare",
    "segfm",
    "serve",
    "verify",
    "bench",
    "completions",
    "man",
];

/// The pages of errors and warnings.
const PAGES: [&str; 13] = [
    "01-usage.txt",
    "02-scans.txt",
    "03-prompts.txt",
    "04-truth-and-pictures.txt",
    "05-onnxruntime.txt",
    "06-bundles.txt",
    "07-eval.txt",
    "08-convert-and-inspect.txt",
    "09-verify-and-bench.txt",
    "10-warnings.txt",
    "11-libraries.txt",
    "12-programs.txt",
    "13-cohorts.txt",
];

fn words() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("words")
}

fn compare(path: &str, found: String) {
    let expected = Data::read_from(&words().join(path), Some(DataFormat::Text)).raw();
    snapbox::assert_data_eq!(found, expected);
}

/// What each command line prints, one after the other.
#[derive(Default)]
struct Page(String);

impl Page {
    /// Runs `segvol LINE`, which must fail, and adds what it prints on standard error.
    #[track_caller]
    fn error(&mut self, about: &str, line: &str) {
        let (code, _, errors) = run(line);
        assert!(code != 0, "{line}: expected an error");
        self.add(about, line, &format!("{errors}[exit code {code}]\n"));
    }

    /// Runs `segvol LINE`, which must succeed, and adds its warnings.
    #[track_caller]
    fn warnings(&mut self, about: &str, line: &str) {
        let (code, output, errors) = run(line);
        assert_eq!(code, 0, "{line}: {errors}");
        assert!(!errors.is_empty() && errors.lines().all(|line| line.starts_with("warning: ")), "{line}: {errors}");
        assert!(!output.contains("warning"), "{line}: {output}");
        self.add(about, line, &errors);
    }

    fn add(&mut self, about: &str, line: &str, found: &str) {
        let _ = write!(self.0, "# {about}\n$ segvol {line}\n{found}\n");
    }

    fn compare(self, name: &str) {
        assert!(PAGES.contains(&name), "{name}");
        compare(&format!("errors/{name}"), self.0);
    }
}

/// Exit code, standard output and standard error of `segvol LINE` in the folder of the fixtures. What depends on the machine is
/// replaced.
fn run(line: &str) -> (i32, String, String) {
    let output = Command::new(&*SEGVOL)
        .args(line.split_whitespace())
        .current_dir(&*FOLDER)
        .env("NO_COLOR", "1")
        .output()
        .expect("the command runs");
    let text = |bytes: Vec<u8>| portable(String::from_utf8(bytes).expect("UTF-8"));
    let errors = text(output.stderr);
    assert!(!errors.contains("panicked"), "{errors}");
    (output.status.code().expect("a code"), text(output.stdout), errors)
}

fn portable(text: String) -> String {
    let text = text.replace(&FOLDER.display().to_string(), "[FOLDER]");
    // Whole, and the first half in the names of embeddings.
    let is_sha256 = |word: &str| matches!(word.len(), 32 | 64) && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let line = |line: &str| {
        // What is offered depends on the library.
        let line = match line.split_once("which offers: ") {
            Some((before, _)) => format!("{before}which offers: [PROVIDERS]"),
            None => line.to_owned(),
        };
        let hashes = line.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| is_sha256(word));
        hashes.fold(line.clone(), |line, hash| line.replace(hash, "[SHA256]")) + "\n"
    };
    text.lines().map(line).collect()
}

/// `--help` of the command and its subcommands.
#[test]
fn help() {
    let (code, text, errors) = run("--help");
    assert_eq!((code, errors.as_str()), (0, ""));
    compare("help/segvol.txt", text);
    for command in COMMANDS {
        let (code, text, errors) = run(&format!("{command} --help"));
        assert_eq!((code, errors.as_str()), (0, ""), "{command}");
        compare(&format!("help/segvol-{}.txt", command.replace(' ', "-")), text);
    }
}

/// A page that no test compares would go on saying what the command no longer says.
#[test]
fn every_page_is_compared() {
    let names = |folder: &str| -> BTreeSet<String> {
        let entries = fs::read_dir(words().join(folder)).expect("a folder");
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
    };
    let help = COMMANDS.iter().map(|command| format!("segvol-{}.txt", command.replace(' ', "-")));
    assert_eq!(names("help"), help.chain(["segvol.txt".to_owned()]).collect());
    assert_eq!(names("errors"), PAGES.iter().map(ToString::to_string).collect());
    let (_, text, _) = run("--help");
    for command in COMMANDS.into_iter().filter(|command| !command.contains(' ')) {
        assert!(text.contains(&format!("\n  {command} ")), "{command}");
    }
}

#[test]
fn usage() {
    let mut page = Page::default();
    let segment = "segment -i scan.nii.gz -m bundle";
    page.error("An unknown command", "dissect");
    page.error("An unknown option", &format!("{segment} --txt liver -o mask.nii.gz"));
    page.error("Nothing to segment", &format!("{segment} -o mask.nii.gz"));
    page.error("No output", &format!("{segment} --text liver"));
    page.error(
        "A point for several objects",
        &format!("{segment} --text liver --text spleen --point 1,2,3 -o m.nii.gz"),
    );
    page.error("A point with two numbers", &format!("{segment} --point 1,2 -o mask.nii.gz"));
    page.error("A point with an unknown label", &format!("{segment} --point 1,2,3,7 -o mask.nii.gz"));
    page.error("A box with three numbers", &format!("{segment} --box 1,2,3 -o mask.nii.gz"));
    page.error("A mask that is not NIfTI", &format!("{segment} --text liver -o mask.png"));
    page.error("A mask in a folder that does not exist", &format!("{segment} --text liver -o missing/mask.nii"));
    page.error("A mask over the scan", &format!("{segment} --text liver -o ./scan.nii.gz"));
    page.error("One file for two outputs", &format!("{segment} --text liver -o m.nii --logits ./m.nii"));
    page.error(
        "A report over a bundle's file",
        &format!("{segment} --text liver -o m.nii --report bundle/manifest.json"),
    );
    page.error("A folder as report", &format!("{segment} --text liver -o m.nii --report cases"));
    page.error("A mask on standard output", &format!("{segment} --text liver -o -"));
    page.error("Logits of several objects", &format!("{segment} --text a --text b -o m.nii.gz --logits l.nii.gz"));
    page.error("Probabilities in a file of another format", &format!("{segment} --text a --probabilities p.npy"));
    page.error("Two kinds of maps in one folder", &format!("{segment} --text a --probabilities maps --logits maps"));
    page.error("A type of nothing", &format!("{segment} --text a -o m.nii.gz --dtype float16"));
    page.error("A type that is none of two", &format!("{segment} --text a --logits maps --dtype fp16"));
    page.error("A threshold in percent", &format!("{segment} --text a -o m.nii.gz --threshold 50"));
    page.error("A threshold of 1", &format!("{segment} --text a -o m.nii.gz --threshold 1"));
    page.error("A threshold that is no number", &format!("{segment} --text a -o m.nii.gz --threshold half"));
    let embed = "embed -i scan.nii.gz -m bundle";
    page.error("Embeddings of an unknown format", &format!("{embed} -o e.npz"));
    page.error("Embeddings of objects without a plan", &format!("{embed} -o e.npy --text liver"));
    page.error("A plan without objects", &format!("{embed} -o e.npy --windows plan"));
    page.error("A threshold for embeddings", &format!("{embed} -o e.npy --threshold 0.3"));
    page.error("Embeddings over a bundle's file", &format!("{embed} -o bundle/e.npy --library bundle/e.json"));
    page.error(
        "An effort for the released windows",
        &format!("{segment} --text liver --effort fast --profile released -o mask.nii.gz"),
    );
    page.error("An overlap out of range", &format!("{segment} --text liver --overlap 1 -o mask.nii.gz"));
    page.error("Embeddings in a bundle", &format!("{segment} --text liver -o m.nii --embeddings bundle/embeddings"));
    page.error("Embeddings in a file", &format!("{segment} --text liver -o m.nii --embeddings bundle/manifest.json/a"));
    page.error("Embeddings over the scan", &format!("{segment} --text liver -o m.nii --embeddings scan.nii.gz"));
    page.error("A limit of no folder", &format!("{segment} --text liver -o m.nii --embeddings-mib 100"));
    page.error("A SEG of a NIfTI file", &format!("{segment} --text liver -o organs.dcm"));
    page.error("Contours of a NIfTI file", &format!("{segment} --text liver --rtstruct organs.dcm"));
    page.error("A kind of SEG without one", &format!("{segment} --text liver --seg labelmap -o m.nii"));
    page.error("An anonymous NIfTI file", &format!("{segment} --text liver --anonymous -o m.nii"));
    page.error("A root of UIDs that is none", &format!("{segment} --text liver --uid-root 1..2 -o organs.dcm"));
    page.error("Contours in another format", &format!("{segment} --text liver --rtstruct organs.xml"));
    page.error("No thread", &format!("{segment} --text liver --threads 0 -o mask.nii.gz"));
    page.error("A smoothing out of range", &format!("{segment} --text liver --smooth 60 -o mask.nii.gz"));
    page.error("A volume below 0", &format!("{segment} --text liver --min-volume=-1 -o mask.nii.gz"));
    page.error("Unknown neighbours", &format!("{segment} --text liver --fill-holes --neighbours 8 -o mask.nii.gz"));
    page.error("Neighbours without a step", &format!("{segment} --text liver --neighbours 6 -o mask.nii.gz"));
    page.error("No place to choose by", &format!("{segment} --text liver --keep-with-prompt -o mask.nii.gz"));
    page.error(
        "Stored benchmarks for a provider by name",
        &format!("{segment} --text liver --provider cpu --bench-results . -o mask.nii.gz"),
    );
    page.error(
        "A folder of stored benchmarks that does not exist",
        &format!("{segment} --text liver --bench-results missing -o mask.nii.gz"),
    );
    page.error("An unknown precision", &format!("{segment} --text liver --precision fp8 -o mask.nii.gz"));
    page.error("An unknown stage", &format!("{segment} --text liver --stage-provider decoder=cpu -o mask.nii.gz"));
    let strict = "segment -i scan.nii.gz --strict -o mask.nii.gz";
    page.error("A name that the model does not know", &format!("{strict} -m named --text livr"));
    page.error("Several", &format!("{strict} -m named --text kidney_left --text liver --text patella"));
    page.error("Names of a model that has no list", &format!("{strict} -m bundle --text liver"));
    page.error("A copy in an unknown format", "copy -i scan.nii.gz -o copy.png");
    page.error("A copy as a segmentation", "copy -i scan.nii.gz -o copy.seg.nrrd");
    page.error("A copy over the scan", "copy -i scan.nii.gz -o ./scan.nii.gz");
    page.error("A copy on standard output", "copy -i scan.nii.gz -o -");
    page.error(
        "A table of labels in another format",
        &format!("{segment} --text liver -o m.nii.gz --labels-file m.csv"),
    );
    page.error("A table of labels without a label map", &format!("{segment} --text liver --labels-file m.txt --plan"));
    page.error("A server for other machines without a token", "serve -m bundle --bind 0.0.0.0:0");
    page.error("A token that is not there", "serve -m bundle --token missing.txt");
    page.error("A token with spaces", "serve -m bundle --token bundle/README.md");
    page.error("An address without a port", "serve -m bundle --bind localhost");
    page.compare("01-usage.txt");
}

#[test]
fn scans() {
    let mut page = Page::default();
    let mut segment = |about: &str, scan: &str| {
        page.error(about, &format!("segment -i {scan} -m bundle --text liver -o mask.nii.gz"));
    };
    segment("A scan that does not exist", "missing.nii.gz");
    segment("A folder", "bundle");
    segment("A text file with the name of a scan", "text.nii.gz");
    segment("A DICOM file", "slice.dcm");
    segment("A file that ends in its header", "short_header.nii");
    segment("A file that ends before its last voxel", "short_voxels.nii");
    segment("A gzip stream that ends early", "cut.nii.gz");
    segment("A damaged gzip stream", "damaged.nii.gz");
    segment("Header and voxels in two files", "pair.hdr");
    segment("A colour image", "colour.nii");
    segment("A vector per voxel", "vectors.nii");
    segment("A voxel that is NaN", "nan.nii");
    segment("The same intensity everywhere", "flat.nii");
    segment("An affine that is singular", "singular.nii");
    segment("Two affines that mirror each other", "mirrored.nii");
    segment("A folder of DICOM files", "series");
    segment("A folder with two series of DICOM", "two_series");
    segment("A series that is not there", "two_series --series 9");
    segment("A series of a NIfTI file", "scan.nii.gz --series 9");
    segment("An NRRD file that ends before its last voxel", "short.nrrd");
    segment("An NRRD file that is packed with bzip2", "bzip2.nrrd");
    segment("An NRRD header that names a file in another folder", "outside.nhdr");
    segment("A MetaImage file with colours", "channels.mha");
    segment("A MetaImage header without its voxels", "missing.mhd");
    segment("A Git LFS pointer", "pointer.nii.gz");
    segment("A web page", "page.nii.gz");
    segment("An archive in a gzip file", "archive.nii.gz");
    page.error("Scan and bundle swapped", "segment -i bundle -m scan.nii.gz --text liver -o mask.nii.gz");
    page.error("A scan as bundle", "segment -i scan.nii.gz -m scan.nii.gz --text liver -o mask.nii.gz");
    page.error("A checkpoint as bundle", "segment -i scan.nii.gz -m micro/SegVol_v1.pth --text liver -o mask.nii.gz");
    page.compare("02-scans.txt");
}

#[test]
fn prompts() {
    let mut page = Page::default();
    let mut segment = |about: &str, prompts: &str| {
        page.error(about, &format!("segment -i scan.nii.gz -m bundle {prompts} -o mask.nii.gz"));
    };
    segment("A point outside the scan", "--point 1,2,1000");
    segment("A point outside the scan, in millimetres", "--space ras --point 1,2,9000");
    segment("A box whose corners are swapped", "--box 9,9,9,1,1,1");
    segment("A point that is NaN", "--point NaN,2,3");
    segment("An objects file that does not exist", "--prompts missing.json");
    segment("An objects file that is not JSON", "--prompts text.nii.gz");
    segment("An objects file of another version", "--prompts version.json");
    segment("An unknown field in an objects file", "--prompts unknown_field.json");
    segment("An object without a prompt", "--prompts empty_object.json");
    segment("An objects file without objects", "--prompts no_objects.json");
    segment("A point with two numbers in an objects file", "--prompts short_point.json");
    segment("Numbers instead of points in an objects file", "--prompts flat_point.json");
    segment("Numbers in quotes in an objects file", "--prompts quoted_numbers.json");
    segment("Two corners instead of six numbers in an objects file", "--prompts nested_box.json");
    segment("A wrong value in the postprocessing of an objects file", "--prompts wrong_smoothing.json");
    segment("An unknown field in the postprocessing of an objects file", "--prompts unknown_step.json");
    segment("A list instead of an objects file", "--prompts list.json");
    segment("A comma after the last object", "--prompts comma.json");
    segment("Single quotes in an objects file", "--prompts quotes.json");
    segment("An objects file in UTF-16", "--prompts utf16.json");
    page.compare("03-prompts.txt");
}

/// What the released programs do not take.
#[test]
fn programs() {
    let mut page = Page::default();
    let mut segment = |about: &str, options: &str| {
        page.error(about, &format!("segment -i scan.nii.gz -m bundle --provider cpu -o mask.nii.gz {options}"));
    };
    segment("An unknown profile", "--text liver --profile hf");
    segment("Axes that the program does not see", "--text liver --profile huggingface --orientation ras");
    segment("A text for SegFM", "--text liver --profile segfm");
    segment("A point for SegFM", "--point 20,15,10 --profile segfm");
    segment("A box for SegFM in voxels of the window", "--space window --box 1,8,14,5,36,44 --profile segfm");
    let both = "--space window --box 1,8,14,5,36,44 --point 4,20,30";
    segment("A box and points for the demo", &format!("{both} --profile released"));
    segment("A box and points for Hugging Face's file", &format!("{both} --profile huggingface-nearest"));
    page.error("A case that does not exist", "segfm -m bundle -i missing.npz -o new");
    page.error("A folder without cases", "segfm -m bundle -i cases -o new");
    page.error("A case that is another file", "segfm -m bundle --provider cpu -i text.nii.gz -o new");
    page.error("Bundle and case swapped", "segfm -m text.nii.gz -i bundle -o new");
    page.compare("12-programs.txt");
}

#[test]
fn truth_and_pictures() {
    let mut page = Page::default();
    let mut segment = |about: &str, options: &str| {
        page.error(about, &format!("segment -i scan.nii.gz -m bundle --text liver -o mask.nii.gz {options}"));
    };
    segment("A label map without labels", "--truth labels.nii.gz");
    segment("A label for an object that is not asked for", "--truth labels.nii.gz --truth-label lung=1");
    segment("Two labels for one object", "--truth labels.nii.gz --truth-label liver=1 --truth-label liver=2");
    segment("The label 0", "--truth labels.nii.gz --truth-label liver=0");
    segment("A label that does not occur", "--truth labels.nii.gz --truth-label liver=9");
    segment("A label map of another shape", "--truth other_shape.nii.gz --truth-label liver=1");
    segment("A segmentation without the object", "--truth organs.seg.nrrd");
    segment("A number that no object has", "--truth organs.seg.nrrd --truth-label liver=9");
    segment("A segmentation of another scan", "--truth moved.seg.nrrd");
    segment("A segmentation with a damaged header", "--truth damaged.seg.nrrd");
    segment("A scan as label map", "--truth scan.nii.gz --truth-label liver=1");
    segment("A picture that is not PNG", "--overlay picture.jpg");
    segment("A CT window without width", "--overlay picture.png --window 40,0");
    segment("A CT window with one number", "--overlay picture.png --window 40");
    page.compare("04-truth-and-pictures.txt");
}

#[test]
fn onnxruntime() {
    let mut page = Page::default();
    let mut segment = |about: &str, options: &str| {
        page.error(about, &format!("segment -i scan.nii.gz -m bundle --text liver -o mask.nii.gz {options}"));
    };
    segment("A library that does not exist", "--library ./missing.so");
    segment("A library that is something else", "--library ./text.nii.gz");
    segment("A provider that the library does not have", "--provider rocm");
    segment("A folder without a library", "--library .");
    segment("An unknown provider", "--provider abacus");
    segment("An unknown provider option", "--provider cpu --provider-option speed=high");
    segment("A provider option without a value", "--provider cpu --provider-option speed");
    segment("A provider option for `auto`", "--provider-option device=1");
    segment("A provider option with a wrong value", "--provider-option cuda.device=first");
    page.error("A wheel to install that is another file", "setup cpu --wheel text.nii.gz");
    page.error("A library to install that is not known", "setup rocm");
    page.compare("05-onnxruntime.txt");
}

#[test]
fn bundles() {
    let mut page = Page::default();
    let mut segment = |about: &str, bundle: &str| {
        page.error(about, &format!("segment -i scan.nii.gz -m {bundle} --text liver -o mask.nii.gz"));
    };
    segment("A bundle that does not exist", "missing");
    segment("A folder that is not a bundle", "cases");
    segment("A manifest that is not JSON", "not_json");
    segment("A manifest of another version", "version");
    segment("A damaged weights file", "damaged");
    segment("A weights file that is missing", "incomplete");
    segment("A link that leads to no file", "linked");
    segment("A precision that the bundle does not have", "bundle --precision fp16");
    page.compare("06-bundles.txt");
}

#[test]
fn eval() {
    let mut page = Page::default();
    page.error("No cases", "eval -m bundle");
    page.error("A folder without scans", "eval -m bundle --images cases");
    page.error("A folder of no known layout", "eval -m bundle --data cases");
    page.error("A folder of several layouts", "eval -m bundle --data data/mixed");
    page.error("Label maps without names", "eval -m bundle --data data/mixed --layout pairs");
    page.error("Two label maps of a scan", "eval -m bundle --data data/two_maps");
    page.error("Folders without label maps", "eval -m bundle --data data/nnunet");
    page.error("Two channels", "eval -m bundle --data data/channels");
    page.error("Two splits with label maps", "eval -m bundle --data data/splits");
    page.error("A layout without a folder", "eval -m bundle --cases cases/good.json --layout pairs");
    page.error("A case without masks", "eval --provider cpu -m bundle --prompts text --data data/folders");
    page.error("Names that mix both directions", "eval -m bundle --cases cases/mixed_names.json");
    page.error("A name for two values", "eval -m bundle --cases cases/name_twice.json");
    page.error("An unknown convention", "eval -m bundle --cases cases/convention.json");
    page.error("Clicks without interaction", "eval -m bundle --cases cases/good.json --clicks 3");
    page.error("No click", "eval -m bundle --cases cases/good.json --interactive --clicks 0");
    page.error("Masks over the case list", "eval -m bundle --cases cases/good.json --masks cases/good.json");
    page.error("Axes of which two are the same", "eval -m bundle --cases cases/good.json --orientation ras,rls");
    page.error("An orientation twice", "eval -m bundle --cases cases/good.json --orientation ras,lps,RAS");
    page.error("Pairs of organs beside label maps", "eval -m bundle --cases cases/good.json --pairs a/b");
    page.error("Rows over the case list", "eval -m bundle --cases cases/good.json -o cases/good.json");
    page.error("Rows in an unknown format", "eval -m bundle --cases cases/good.json -o rows.txt");
    page.error("An unknown kind of prompt", "eval -m bundle --cases cases/good.json --prompts click");
    page.error(
        "No place to choose components by",
        "eval -m bundle --cases cases/good.json --prompts text --keep-with-prompt",
    );
    page.error("A threshold out of range", "eval -m bundle --cases cases/good.json --against bundle --min-dice 2");
    page.error("A tolerance below 0", "eval -m bundle --cases cases/good.json --tolerance=-1");
    page.error("No point", "eval -m bundle --cases cases/good.json --points 0");
    let mut list = |about: &str, name: &str| {
        page.error(about, &format!("eval --provider cpu -m bundle --prompts text --cases cases/{name}"));
    };
    list("A list that does not exist", "missing.json");
    list("A list of another version", "version.json");
    list("A list without cases", "no_cases.json");
    list("A misspelt field", "misspelt.json");
    list("Two cases with the same name", "same_name.json");
    list("A case without structures", "no_structures.json");
    list("A case without a label map", "some_truth.json");
    list("No label map, and no left and right organ", "no_truth.json");
    list("A value out of range", "value.json");
    list("A structure that is listed twice", "twice.json");
    list("No structure in any case", "absent.json");
    list("Cases that cannot be scored", "bad_cases.json");
    page.error("Files for names that do not exist", "eval -m bundle --images cases --truth cases --names missing.json");
    page.error(
        "A work file of other settings",
        "eval --provider cpu -m bundle --cases cases/good.json --prompts text --no-zoom --seed 1 --work other.jsonl",
    );
    page.error(
        "A damaged work file",
        "eval --provider cpu -m bundle --cases cases/good.json --prompts text --no-zoom --work damaged.jsonl",
    );
    page.error("A page without the name of one", "eval -m bundle --cases cases/good.json --report page.pdf");
    page.error("Pictures of the worst objects without a page", "eval -m bundle --cases cases/good.json --worst 3");
    page.error("An unknown comparison", "eval -m bundle --cases cases/good.json --compare points");
    page.error("A profile twice", "eval -m bundle --cases cases/good.json --profile default,default");
    page.error(
        "Several profiles in one segmentation",
        "segment -i scan.nii.gz -m bundle --text liver -o out.nii.gz --profile default,released",
    );
    page.error("Results that do not exist", "compare missing.json missing.json");
    page.error("A case list instead of results", "compare cases/good.json cases/good.json");
    page.error("A work file instead of results", "compare other.jsonl other.jsonl");
    page.error("A picture instead of results", "compare scan.nii.gz scan.nii.gz");
    page.compare("07-eval.txt");
}

#[test]
fn cohorts() {
    let mut page = Page::default();
    let cohort = "cohort --provider cpu --jobs 1 -q --no-zoom -m bundle";
    let mut error = |about: &str, rest: &str| page.error(about, &format!("{cohort} {rest}"));
    error("Nothing to segment", "--images cohorts/scans --out cohorts/new");
    error("A folder that does not exist", "--text liver --images missing --out cohorts/new");
    error("A list that does not exist", "--text liver --images missing.jsonl --out cohorts/new");
    error("A folder without scans", "--text liver --images cases --out cohorts/new");
    error("A pattern that matches nothing", "--text liver --images cohorts/*.nrrd --out cohorts/new");
    error("An empty list", "--text liver --images cohorts/empty.jsonl --out cohorts/new");
    error("A list that is not JSON", "--text liver --images cohorts/not_json.jsonl --out cohorts/new");
    error("A list with a misspelt field", "--text liver --images cohorts/field.jsonl --out cohorts/new");
    error("A list with a bad prompt", "--images cohorts/prompts.jsonl --out cohorts/new");
    for (about, rest) in [
        ("A shard that does not exist", "--shard 4/4"),
        ("A shard that is no shard", "--shard 1"),
        ("A pattern without the id", "--pattern {object}.nii.gz"),
        ("A pattern of an unknown format", "--pattern {id}.png"),
        ("A pattern that leads out of the folder", "--pattern ../{id}.nii.gz"),
        ("No picture of a review", "--review 0"),
    ] {
        error(about, &format!("--text liver --images cohorts/one.jsonl --out cohorts/new {rest}"));
    }
    error("A text that the model does not know", "--strict --text livre --images cohorts/one.jsonl --out cohorts/new");
    error("A table under another name", "--text liver --images cohorts/one.jsonl --out cohorts/new --csv volumes.xlsx");
    error("A folder with files of somebody else", "--text liver --images cohorts/one.jsonl --out cohorts/foreign");
    error("A folder with an earlier run", "--text liver --images cohorts/one.jsonl --out cohorts/done");
    for (about, rest) in [
        ("An earlier run with other objects", "--text liver --text spleen"),
        ("An earlier run with another threshold", "--text liver --threshold 0.4"),
    ] {
        error(about, &format!("--resume --images cohorts/one.jsonl --out cohorts/done {rest}"));
    }
    error("A damaged manifest", "--resume --text liver --images cohorts/one.jsonl --out cohorts/damaged");
    error("Scans that cannot be done", "--text liver --images cohorts/scans --out cohorts/some");
    error("More failures than allowed", "--text liver --images cohorts/scans --out cohorts/many --max-failures 0");
    error(
        "Ids that cannot name files, and a scan in the output",
        "--text liver --images cohorts/ids.jsonl --out cohorts/done/new",
    );
    page.error("Bundle and scans swapped", "cohort --text liver -m cohorts/scans --images bundle --out cohorts/new");
    page.error("A summary of nothing", "cohort summary missing");
    page.error("A summary of another folder", "cohort summary cases");
    page.error("A summary of a damaged manifest", "cohort summary cohorts/damaged");
    page.compare("13-cohorts.txt");
}

#[test]
fn convert_and_inspect() {
    let mut page = Page::default();
    page.error("A checkpoint that does not exist", "convert missing.pth -o new");
    page.error("A text file", "convert text.nii.gz -o new");
    page.error("A scan", "convert scan.nii.gz -o new");
    page.error("A distributed checkpoint", "convert distributed.pth -o new");
    page.error("A checkpoint that is cut off", "convert cut.pth -o new");
    page.error("A checkpoint of another model", "convert other.safetensors -o new");
    page.error("A folder without a checkpoint", "convert occupied -o new");
    page.error("A bundle instead of a checkpoint", "convert bundle -o new");
    page.error("A folder with several checkpoints", "convert several -o new");
    page.error("A part of a checkpoint", "convert parts/model-00001-of-00002.safetensors -o new");
    page.error("A checkpoint with parts that are missing", "convert parts -o new");
    page.error("An index that leads out of its folder", "convert leaving.index.json -o new");
    page.error("Adapters that are not merged", "convert adapted.safetensors -o new");
    page.error("Adapters without their model", "convert adapters.safetensors -o new");
    page.error("A tensor that nothing takes", "convert micro/extra.safetensors -o new");
    page.error("A bundle over its own tokenizer", "convert micro/SegVol_v1.pth --tokenizer bundle -o bundle --force");
    page.error("A bundle that exists", "convert micro/SegVol_v1.pth -o bundle");
    page.error("A folder that is not a bundle", "convert micro/SegVol_v1.pth -o occupied --force");
    page.error("No tokenizer", "convert no_tokenizer/SegVol_v1.pth -o new");
    page.error("Sizes that do not match", "convert micro/SegVol_v1.pth --config released.json -o new");
    page.error("A configuration that is not JSON", "convert micro/SegVol_v1.pth --config text.nii.gz -o new");
    page.error("A tokenizer that is not one", "convert micro/SegVol_v1.pth --tokenizer text.nii.gz -o new");
    page.error("A tokenizer of another model", "convert micro/SegVol_v1.pth --tokenizer bundle/tokenizer.json -o new");
    page.error("A file of names with a mistake", "convert micro/SegVol_v1.pth --names names.json -o new");
    page.error("Calibration without int8", "convert micro/SegVol_v1.pth -o new --dynamic");
    page.error("Calibration without scans", "convert micro/SegVol_v1.pth -o new --precision int8 --calibrate occupied");
    page.error("An unknown precision", "convert micro/SegVol_v1.pth -o new --precision fp8");
    page.warnings(
        "A tensor that nothing takes, and may be left out",
        "convert micro/extra.safetensors --allow-extra -o left_out",
    );
    page.error("Nothing to inspect", "inspect");
    page.error("A file that does not exist", "inspect missing.pth");
    page.error("A folder that is not a bundle", "inspect cases");
    page.error("A damaged bundle", "inspect damaged");
    page.error("A zip archive of DICOM that is cut off", "inspect cut.zip");
    page.compare("08-convert-and-inspect.txt");
}

#[test]
fn verify_and_bench() {
    let mut page = Page::default();
    page.error("No bundle", "verify");
    page.error("A bundle that does not exist", "verify missing");
    page.error("Goldens that are not safetensors", "verify bundle --goldens text.nii.gz");
    page.error("Prompts without a scan", "verify bundle --prompts objects.json");
    page.error("No bundle", "bench");
    page.error("No run", "bench bundle --runs 0");
    page.error("An unknown stage", "bench bundle --stage decoder");
    page.error("Nothing to store", "bench bundle --save --stage mask_decoder");
    page.error("Scans for a comparison of masks that is not stored", "bench bundle --gate-scan scan.nii.gz");
    page.error("A scan for the comparison that does not exist", "bench bundle --save --gate-scan missing.nii.gz");
    page.compare("09-verify-and-bench.txt");
}

#[test]
fn warnings() {
    let mut page = Page::default();
    let mut segment = |about: &str, options: &str| {
        page.warnings(about, &format!("segment {options} -m bundle --provider cpu --no-zoom -o warned.nii.gz"));
    };
    segment("Lengths in metres", "-i metres.nii --text liver");
    segment("Lengths in micrometres", "-i micrometres.nii --text liver");
    segment("An unknown unit", "-i unknown_unit.nii --text liver");
    segment("No place in the patient", "-i no_forms.nii --text liver");
    segment("Lengths that look like metres", "-i silent_metres.nii --text liver");
    segment("A spacing below 0", "-i negative_spacing.nii --text liver");
    segment("Two affines with a shift between them", "-i shifted.nii --text liver");
    segment("Two affines that mirror each other, and a choice", "-i mirrored.nii --affine qform --text liver");
    segment("An sform of zeros beside a qform", "-i no_sform.nii --text liver");
    segment("An sform without the spacing", "-i directions.nii --text liver");
    segment("A unit that no scan has", "-i wrong_unit.nii --text liver");
    segment("Axes that are not perpendicular", "-i sheared.nii --text liver");
    segment("Not Hounsfield units", "-i not_hu.nii --text liver");
    segment("A scan of one slice", "-i one_slice.nii --text liver");
    segment("Bytes after the last voxel", "-i trailing.nii --text liver");
    segment("A slope that is not a number", "-i slope.nii --text liver");
    segment("A point in the air around the patient", "-i body.nii --point 1,1,1");
    segment("A box in the air around the patient", "-i body.nii --box 0,0,0,1,1,0");
    segment("Nothing is as large as asked for", "-i scan.nii.gz --text liver --min-volume 1e6");
    segment("A point outside of the mask", "-i body.nii --point 1,1,1 --keep-with-prompt");
    segment("A limit below one embedding", "-i scan.nii.gz --text liver --embeddings stored --embeddings-mib 0");
    let store = "segment -i scan.nii.gz --text liver --embeddings stored";
    let (code, _, errors) = run(&format!("{store} -m bundle --provider cpu --no-zoom -o warned.nii.gz"));
    assert_eq!(code, 0, "{errors}");
    for file in fs::read_dir(FOLDER.join("stored")).expect("a folder") {
        fs::write(file.expect("an entry").path(), "").expect("written");
    }
    segment("A damaged embedding", store.trim_start_matches("segment "));
    let mut named = |about: &str, options: &str| {
        page.warnings(
            about,
            &format!("segment -i scan.nii.gz {options} -m named --provider cpu --no-zoom -o warned.nii.gz"),
        );
    };
    named("Another spelling of a name", "--text kidney_left");
    named("A name with a mistake", "--text livr");
    named("A name that the model does not know", "--text patella");
    named("Two objects with the same name", "--text liver --text Liver");
    page.compare("10-warnings.txt");
}

/// Errors of the libraries that no command line causes on every machine.
#[test]
fn libraries() {
    let file = || PathBuf::from("liver.nii.gz");
    let io = || io::Error::other("no space left on device");
    let memory = || OutOfMemory { what: "the mask".into(), bytes: 123_456_789, reserve_bytes: 32 << 20 };
    let (stage, provider) = (Stage::ImageEncoder, Provider::OpenVino);
    let mut text = String::new();
    let mut add = |about: &str, error: &dyn std::error::Error| {
        let cause = error.source().map(|cause| format!("\ncaused by: {cause}")).unwrap_or_default();
        let _ = write!(text, "# {about}\n{error}{cause}\n\n");
    };
    add("Not enough memory", &Error::Memory(memory()));
    add("A stage fails", &Error::Stage { stage, reason: "the reason that ONNX Runtime gives".to_owned() });
    for (about, precision) in [("A result that is not finite", Precision::Fp32), ("The same at fp16", Precision::Fp16)]
    {
        let output = "image_embedding";
        add(about, &Error::NotFinite { stage, output, index: 7, found: f32::INFINITY, precision });
    }
    let reason = || "the reason that the provider gives".to_owned();
    add("A provider cannot run a stage", &Error::ProviderFailed { provider, stage, reason: reason() });
    add("No thread", &Error::Thread(io::Error::other("resource temporarily unavailable")));
    add("Stopped by the observer", &Error::Cancelled);
    add("A mask cannot be written", &MaskError::Io { path: file(), source: io() });
    add("Axes that are far from perpendicular", &segvol::shear::TooSheared { angle_degrees: 89.9 });
    add("A mask over its scan", &MaskError::OverScan { path: file() });
    let several = || vec!["liver (1)".to_owned(), "liver tumor (1)".to_owned()];
    let (path, wanted) = (PathBuf::from("organs.seg.nrrd"), "the number 1".to_owned());
    add("Two objects with a number", &SegmentsError::SeveralObjects { path, wanted, found: several() });
    let attributes = vec!["Frame of Reference UID (0020,0052)", "Study Instance UID (0020,000D)"];
    add("A scan that says too little for a SEG", &SegmentsError::Missing { attributes });
    add("A mask without a name for a format", &MaskError::Name { path: "mask.png".into() });
    add("A mask of another length", &MaskError::Length { shape_xyz: [4, 3, 2], expected: 24, found: 23 });
    add("A bundle file cannot be read", &BundleError::Io { path: "bundle/manifest.json".into(), source: io() });
    let link = BundleError::unusable_link(
        "bundle/segvol_mask_decoder.weights".as_ref(),
        "whose path is not UTF-8, and ONNX Runtime takes no other",
    );
    add("A bundle of links that ONNX Runtime cannot use", &link);
    add("A bundle without a stage", &BundleError::MissingStage { path: "bundle".into(), stage: Stage::TextEncoder });
    add("A bundle cannot be written", &ConvertError::Output { path: "bundle".into(), source: io() });
    add("A checkpoint cannot be read", &CheckpointError::Io { path: "SegVol_v1.pth".into(), source: io() });
    add("A work file cannot be written", &EvaluationError::Io { path: "rows.csv.work.jsonl".into(), source: io() });
    add("Two evaluations with one work file", &EvaluationError::Busy { path: "rows.csv.work.jsonl".into() });
    compare("errors/11-libraries.txt", text);
}
