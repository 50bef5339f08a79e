//! What the command writes, and where: an output never replaces an input, two outputs never share a file, and what is
//! protected or linked stays so. Standard output, standard error and the names of files belong to it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::LazyLock;

use assert_cmd::Command;
use segvol::Volume;
use segvol::mask::Mask;
use segvol_tests::command::{SEGVOL, refused, said};
use segvol_tests::faults::names;
use segvol_tests::golden::data;
use segvol_tests::{bundle, models};
use serde_json::{Value, json};
use tempfile::TempDir;

const USAGE: i32 = 2;

/// A bundle of the tiny model, shared by all tests here.
static TINY: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("outputs");
    bundle::seeded(&folder, &models::tiny(), &BTreeMap::new())
});

/// A folder with `ct.nii.gz`, `truth.nii.gz`, `objects.json`, `cases.json`, `names.json`, the folder `sub`, and a bundle.
struct Home(TempDir);

impl Home {
    fn new() -> Self {
        let home = Self(segvol_tests::folder!());
        fs::copy(data("tiny/volumes/ras_scaled_odd.nii.gz"), home.at("ct.nii.gz")).expect("copied");
        let volume = Volume::open(home.at("ct.nii.gz")).expect("a scan");
        let [ni, nj, nk] = volume.shape_xyz();
        let labels = (0..ni * nj * nk).map(|n| u8::from(n % ni > ni / 3 && n / ni % nj > nj / 3));
        let truth = Mask::from_labels(labels.collect::<Vec<u8>>(), volume.grid().clone()).expect("a mask");
        truth.save(home.at("truth.nii.gz")).expect("saved");
        home.write("objects.json", &json!({"schema_version": 1, "objects": [{"text": "liver"}]}));
        home.write("names.json", &json!({"liver": 1}));
        let case = json!({"image": "ct.nii.gz", "labels": "truth.nii.gz"});
        home.write("cases.json", &json!({"schema_version": 1, "structures": {"liver": 1}, "cases": [case]}));
        fs::create_dir(home.at("sub")).expect("made");
        fs::create_dir(home.at("bundle")).expect("made");
        for name in names(&TINY) {
            fs::copy(TINY.join(&name), home.at("bundle").join(name)).expect("copied");
        }
        home
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, value: &Value) {
        fs::write(self.at(name), value.to_string()).expect("written");
    }

    /// `segvol LINE` in the folder.
    fn segvol(&self, line: &str) -> Command {
        let mut command = Command::new(&*SEGVOL);
        command.args(line.split_whitespace()).current_dir(self.0.path()).env_remove("RUST_LOG");
        command
    }

    /// `segvol segment` of the scan, with more arguments.
    fn segment(&self, line: &str) -> Command {
        self.segvol(&format!("segment --provider cpu -m bundle -i ct.nii.gz {line}"))
    }

    /// The contents of all files, without those of the folder `sub`.
    fn contents(&self) -> BTreeMap<String, Vec<u8>> {
        let files = ["", "bundle"].map(|folder| {
            let read = move |name: String| (format!("{folder}/{name}"), self.at(folder).join(name));
            names(&self.at(folder)).into_iter().map(read)
        });
        let files = files.into_iter().flatten().filter(|(_, path)| path.is_file());
        files.map(|(name, path)| (name, fs::read(path).expect("read"))).collect()
    }

    fn json(&self, name: &str) -> Value {
        serde_json::from_slice(&fs::read(self.at(name)).expect("read")).expect("JSON")
    }
}

/// Every pair of an output with an input or another output. Nothing is read, written or made.
#[test]
fn an_output_is_no_input_and_no_other_output() {
    let home = Home::new();
    fs::copy(home.at("ct.nii.gz"), home.at("liver.nii.gz")).expect("copied");
    fs::copy(home.at("ct.nii.gz"), home.at("goldens.safetensors")).expect("copied");
    let before = home.contents();
    let segment = "segment -m bundle --text liver";
    let eval = "eval -m bundle --prompts text --no-zoom";
    for (line, options) in [
        (format!("{segment} -i ct.nii.gz -o ct.nii.gz"), ["--output", "--input"]),
        (format!("{segment} -i ct.nii.gz -o ./ct.nii.gz"), ["--output", "--input"]),
        (format!("{segment} -i ct.nii.gz -o sub/../ct.nii.gz"), ["--output", "--input"]),
        (format!("{segment} -i sub/../ct.nii.gz -o m.nii --logits ct.nii.gz"), ["--logits", "--input"]),
        (
            format!("{segment} -i ct.nii.gz -o truth.nii.gz --truth truth.nii.gz --truth-label liver=1"),
            ["--output", "--truth"],
        ),
        (format!("{segment} -i liver.nii.gz --per-object ."), ["--per-object", "--input"]),
        (format!("{segment} -i ct.nii.gz -o both.nii --logits both.nii"), ["--logits", "--output"]),
        (format!("{segment} -i ct.nii.gz -o r.nii --report ./r.nii"), ["--report", "--output"]),
        (format!("{segment} -i ct.nii.gz -o m.nii --report p.png --overlay sub/../p.png"), ["--overlay", "--report"]),
        (format!("{segment} -i ct.nii.gz -o new/liver.nii.gz --per-object new"), ["--output", "new"]),
        (format!("{segment} -i ct.nii.gz -o sub/liver.nii.gz --per-object sub"), ["--per-object", "--output"]),
        (format!("{segment} -i ct.nii.gz --per-object sub --report sub"), ["--report", "--per-object"]),
        (format!("{segment} -i ct.nii.gz --per-object ct.nii.gz"), ["--per-object", "--input"]),
        (format!("{segment} -i ct.nii.gz --per-object objects.json/masks"), ["--per-object", "objects.json"]),
        (format!("{segment} -i ct.nii.gz -o m.nii --report bundle/manifest.json"), ["--report", "--model"]),
        (
            format!("{segment} -i ct.nii.gz -o m.nii --report bundle/segvol_mask_decoder.weights"),
            ["--report", "--model"],
        ),
        (
            "segment -m bundle -i ct.nii.gz --prompts objects.json -o m.nii --report objects.json".to_owned(),
            ["--report", "--prompts"],
        ),
        (format!("{segment} -i ct.nii.gz -o m.nii --library lib.so --report lib.so"), ["--report", "--library"]),
        (format!("{eval} --cases cases.json -o cases.json"), ["--output", "--cases"]),
        (format!("{eval} --cases cases.json --work cases.json"), ["--work", "--cases"]),
        (format!("{eval} --cases cases.json --work ct.nii.gz"), ["--work", "--cases (scan of case \"ct\")"]),
        (format!("{eval} --cases cases.json --work truth.nii.gz"), ["--work", "label map of case \"ct\""]),
        (format!("{eval} --cases cases.json -o rows.csv --work rows.csv"), ["--work", "--output"]),
        (format!("{eval} --cases cases.json --overlay ct.nii.gz"), ["--overlay", "--cases"]),
        (format!("{eval} --cases cases.json -o rows.csv --overlay rows.csv"), ["--overlay", "--output"]),
        (format!("{eval} --cases cases.json --overlay sub --work sub/ct.text.png"), ["--overlay", "--work"]),
        (format!("{eval} --cases cases.json -o bundle/manifest.json"), ["--output", "--model"]),
        (format!("{eval} --cases cases.json --against bundle -o bundle/manifest.json"), ["--output", "--model"]),
        ("verify -m bundle --dump bundle/manifest.json".to_owned(), ["--dump", "--model"]),
        ("verify -m bundle -i ct.nii.gz --dump ct.nii.gz".to_owned(), ["--dump", "--input"]),
        (
            "verify -m bundle -i ct.nii.gz --prompts objects.json --dump objects.json".to_owned(),
            ["--dump", "--prompts"],
        ),
        ("bench -m bundle --plot bundle/manifest.json".to_owned(), ["--plot", "--model"]),
        ("bench bundle --library lib.so --plot lib.so".to_owned(), ["--plot", "--library"]),
    ] {
        let assert = home.segvol(&line).assert();
        refused(&assert, USAGE, &options);
        assert_eq!(String::from_utf8_lossy(&assert.get_output().stdout), "", "{line}");
        assert!(home.contents() == before, "{line}: a file has changed");
        assert!(!home.at("new").exists() && names(&home.at("sub")).is_empty(), "{line}: something was made");
    }
}

#[test]
fn the_scans_of_folders_are_inputs_too() {
    let home = Home::new();
    for (folder, name) in [("scans", "ct.nii.gz"), ("maps", "truth.nii.gz")] {
        fs::create_dir(home.at(folder)).expect("made");
        fs::copy(home.at(name), home.at(folder).join("a.nii.gz")).expect("copied");
    }
    let eval = "eval -m bundle --images scans --truth maps --names names.json --prompts text --no-zoom";
    let refuse = |line: &str, parts: &[&str]| refused(&home.segvol(&format!("{eval} {line}")).assert(), USAGE, parts);
    refuse("-o names.json", &["--output", "--names"]);
    refuse("--work scans/a.nii.gz", &["--work", "--images"]);
    refuse("--work maps/a.nii.gz", &["--work", "--truth (label map of case \"a\")"]);
}

#[cfg(unix)]
#[test]
fn links_are_the_file_that_they_point_to() {
    use std::os::unix::fs::symlink;
    let home = Home::new();
    symlink("ct.nii.gz", home.at("soft.nii.gz")).expect("linked");
    symlink("soft.nii.gz", home.at("chain.nii.gz")).expect("linked");
    fs::hard_link(home.at("ct.nii.gz"), home.at("hard.nii.gz")).expect("linked");
    symlink(".", home.at("here")).expect("linked");
    fs::create_dir(home.at("masks")).expect("made");
    symlink("../ct.nii.gz", home.at("masks/liver.nii.gz")).expect("linked");
    fs::create_dir(home.at("pictures")).expect("made");
    symlink("../truth.nii.gz", home.at("pictures/ct.text.png")).expect("linked");
    symlink("cases.json", home.at("rows.csv")).expect("linked");
    symlink("later.nii.gz", home.at("later_link.nii.gz")).expect("linked");
    symlink("loop.nii.gz", home.at("loop.nii.gz")).expect("linked");
    let before = home.contents();
    let segment = "segment -m bundle --text liver -i";
    for (line, options) in [
        (format!("{segment} ct.nii.gz -o soft.nii.gz"), ["--output `soft.nii.gz`", "--input `ct.nii.gz`"]),
        (format!("{segment} ct.nii.gz -o chain.nii.gz"), ["--output", "--input"]),
        (format!("{segment} chain.nii.gz -o ct.nii.gz"), ["--output", "--input"]),
        (format!("{segment} ct.nii.gz -o hard.nii.gz"), ["--output", "--input"]),
        (format!("{segment} hard.nii.gz -o here/here/ct.nii.gz"), ["--output", "--input"]),
        (format!("{segment} ct.nii.gz --per-object masks"), ["--per-object `masks/liver.nii.gz`", "--input"]),
        (format!("{segment} ct.nii.gz -o later.nii.gz --logits later_link.nii.gz"), ["--logits", "--output"]),
        (format!("{segment} ct.nii.gz -o here/new.nii --logits new.nii"), ["--logits", "--output"]),
        (format!("{segment} ct.nii.gz -o loop.nii.gz"), ["--output `loop.nii.gz`", "symbolic link"]),
        (
            "eval -m bundle --cases cases.json --prompts text --overlay pictures".to_owned(),
            ["--overlay `pictures/ct.text.png`", "label map of case \"ct\""],
        ),
        ("eval -m here/bundle --cases here/cases.json --prompts text -o rows.csv".to_owned(), ["--output", "--cases"]),
    ] {
        refused(&home.segvol(&line).assert(), USAGE, &options);
        assert!(home.contents() == before, "{line}: a file has changed");
    }
    assert!(!home.at("later.nii.gz").exists());
}

#[test]
fn a_conversion_never_deletes_what_it_reads() {
    let home = Home::new();
    let micro = models::micro();
    fs::create_dir(home.at("micro")).expect("made");
    fs::write(home.at("micro/config.json"), models::config_json(&micro)).expect("written");
    segvol_tests::seeded::write_tokenizer(&home.at("micro"), &micro).expect("written");
    fs::copy(data("checkpoints/github.pth"), home.at("micro/SegVol_v1.pth")).expect("copied");
    fs::copy(data("checkpoints/github.pth"), home.at("bundle/segvol_old.weights")).expect("copied");
    fs::copy(home.at("micro/config.json"), home.at("sub/config.json")).expect("copied");
    let before = home.contents();
    let convert = "convert micro/SegVol_v1.pth --force";
    for (line, parts) in [
        (format!("{convert} -o bundle --tokenizer bundle/tokenizer.json"), ["--output", "--tokenizer"]),
        (format!("{convert} -o bundle --tokenizer bundle"), ["--output", "--tokenizer"]),
        (format!("{convert} -o sub/../bundle --config bundle/manifest.json"), ["--output", "--config"]),
        ("convert bundle/segvol_old.weights --force -o bundle".to_owned(), ["--output", "the checkpoint"]),
        (format!("{convert} -o micro"), ["--output", "the checkpoint"]),
        (format!("{convert} -o micro/SegVol_v1.pth"), ["--output", "the checkpoint"]),
        (format!("{convert} -o micro/SegVol_v1.pth/bundle"), ["--output", "micro/SegVol_v1.pth"]),
        (format!("{convert} -o sub --precision int8 --calibrate sub"), ["--output", "--calibrate"]),
        (format!("{convert} -o -"), ["--output", "standard output"]),
    ] {
        refused(&home.segvol(&line).assert(), USAGE, &parts);
        assert!(home.contents() == before, "{line}: a file has changed");
    }
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("../sub/later", home.at("micro/link")).expect("linked");
        said(home.segvol("convert micro/SegVol_v1.pth -o micro/link").assert());
        assert!(home.at("sub/later/manifest.json").is_file());
        assert!(home.at("micro/link").symlink_metadata().expect("a link").is_symlink());
    }
}

#[cfg(unix)]
#[test]
fn a_replaced_mask_keeps_its_mode_and_a_link_stays_a_link() {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    let home = Home::new();
    fs::write(home.at("old.nii.gz"), "old").expect("written");
    fs::set_permissions(home.at("old.nii.gz"), fs::Permissions::from_mode(0o640)).expect("set");
    symlink("sub/report.json", home.at("link.json")).expect("linked");
    symlink("sub/masks", home.at("masks")).expect("linked");
    let run =
        || said(home.segment("--text liver --no-zoom -o old.nii.gz --report link.json --per-object masks").assert());
    for _ in 0..2 {
        run();
        Volume::open(home.at("old.nii.gz")).expect("a mask");
        Volume::open(home.at("sub/masks/liver.nii.gz")).expect("a mask");
        let mode = fs::metadata(home.at("old.nii.gz")).expect("a file").permissions().mode();
        assert_eq!(mode & 0o7777, 0o640);
        assert_eq!(home.json("sub/report.json")["files"], json!({"output": "old.nii.gz"}));
        for link in ["link.json", "masks"] {
            assert!(home.at(link).symlink_metadata().expect("a link").is_symlink(), "{link}");
        }
    }
    // Devices can be named twice.
    symlink("/dev/null", home.at("null.nii")).expect("linked");
    said(home.segment("--text liver --no-zoom -o null.nii --logits null.nii --report /dev/null").assert());
}

/// A folder that every user may enter, with the command, a scan and a bundle.
#[cfg(target_os = "linux")]
struct Outside(tempfile::TempDir);

#[cfg(target_os = "linux")]
impl Outside {
    fn new() -> Self {
        use std::os::unix::fs::PermissionsExt as _;
        let home = Home::new();
        let everyone = fs::Permissions::from_mode(0o777);
        let outside = Self(tempfile::Builder::new().permissions(everyone).tempdir().expect("a folder"));
        fs::copy(&*SEGVOL, outside.at("segvol")).expect("copied");
        fs::copy(home.at("ct.nii.gz"), outside.at("ct.nii.gz")).expect("copied");
        fs::create_dir(outside.at("bundle")).expect("made");
        for name in names(&TINY) {
            fs::copy(TINY.join(&name), outside.at("bundle").join(name)).expect("copied");
        }
        outside
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn mode(&self, name: &str, mode: u32) {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(self.at(name), fs::Permissions::from_mode(mode)).expect("set");
    }

    /// The command; run by another user if this one is root.
    fn command(&self, is_root: bool) -> Command {
        if !is_root {
            return Command::new(self.at("segvol"));
        }
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(self.at("segvol"));
        command
    }
}

/// Root may write everywhere, so the command runs as another user then.
#[cfg(target_os = "linux")]
#[test]
fn a_write_protected_file_or_folder_is_refused_before_the_work() {
    use std::os::unix::fs::PermissionsExt as _;
    let outside = Outside::new();
    let at = |name: &str| outside.at(name);
    let mode = |name: &str, mode| outside.mode(name, mode);
    for name in ["", "segvol", "ct.nii.gz", "bundle"] {
        mode(name, if name == "ct.nii.gz" { 0o644 } else { 0o777 });
    }
    for name in ["raw.nii.gz", "raw.json"] {
        fs::write(at(name), "precious").expect("written");
        mode(name, 0o444);
    }
    fs::create_dir(at("closed")).expect("made");
    mode("closed", 0o555);
    let is_root = fs::OpenOptions::new().append(true).open(at("raw.json")).is_ok();
    let run = |line: &str| {
        let mut command = outside.command(is_root);
        command.args(line.split_whitespace()).current_dir(outside.at("")).assert()
    };
    let segment = "segment -m bundle -i ct.nii.gz --text liver";
    for (line, parts) in [
        ("-o raw.nii.gz", ["--output `raw.nii.gz`", "write-protected"]),
        ("-o m.nii --report raw.json", ["--report `raw.json`", "write-protected"]),
        ("-o closed/m.nii", ["--output `closed/m.nii`", "write-protected"]),
        ("--per-object closed", ["--per-object `closed`", "write-protected"]),
        ("--per-object closed/new", ["--per-object `closed/new`", "write-protected"]),
    ] {
        refused(&run(&format!("{segment} {line}")), USAGE, &parts);
        assert!(!at("m.nii").exists(), "{line}");
    }
    // As in /tmp: anybody may write to the file, and only its owner may replace it.
    fs::create_dir(at("sticky")).expect("made");
    mode("sticky", 0o1777);
    fs::write(at("sticky/r.json"), "precious").expect("written");
    mode("sticky/r.json", 0o666);
    if is_root {
        let assert = run(&format!("{segment} -o m.nii --report sticky/r.json"));
        refused(&assert, USAGE, &["--report `sticky/r.json`", "another user"]);
    }
    // A bundle of which one file is protected.
    mode("bundle/tokenizer.json", 0o444);
    for line in ["convert ct.nii.gz --force -o bundle", "convert ct.nii.gz -o closed/bundle"] {
        refused(&run(line), USAGE, &["--output", "write-protected"]);
    }
    for name in ["raw.nii.gz", "raw.json"] {
        assert_eq!(fs::read(at(name)).expect("read"), b"precious");
        assert_eq!(fs::metadata(at(name)).expect("a file").permissions().mode() & 0o777, 0o444);
    }
    mode("closed", 0o755);
}

/// `segvol LINE` in a mount namespace, as a container has it, in which every `(source, target)` is mounted. `None` if nothing can be
/// mounted here, which is said on standard error.
#[cfg(target_os = "linux")]
fn with_mounts(home: &Home, mounts: &[(&str, &str)], line: &str) -> Option<std::process::Output> {
    use std::io::Write as _;
    let mut namespace = std::process::Command::new("unshare");
    namespace.args(["--user", "--map-root-user", "--mount", "sh", "-ec"]);
    let mount = |(source, target): &(&str, &str)| format!("mount --bind {source} {target} || exit 99; ");
    let script = mounts.iter().map(mount).collect::<String>() + "exec \"$@\"";
    namespace.arg(script).arg("sh").arg(&*SEGVOL).args(line.split_whitespace());
    let output = namespace.current_dir(home.0.path()).env_remove("RUST_LOG").output();
    let refused = match &output {
        Ok(output) if output.status.code() != Some(99) && !output.stderr.starts_with(b"unshare: ") => None,
        Ok(output) => Some(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(error) => Some(format!("unshare: {error}")),
    };
    match refused {
        None => output.ok(),
        Some(reason) => {
            // Not with `eprintln!`: the test harness hides its output if the test passes.
            let line = "SKIPPED outputs: nothing can be mounted here, so no mount point was written to:";
            writeln!(std::io::stderr(), "{line} {reason}").expect("standard error");
            None
        }
    }
}

/// As `docker run -v liver.nii.gz:/mask.nii.gz`: a rename cannot replace the file.
#[cfg(target_os = "linux")]
#[test]
fn a_mounted_file_is_written_in_place_with_a_warning() {
    let home = Home::new();
    let line = "segment --provider cpu -m bundle -i ct.nii.gz --no-zoom --text liver";
    said(home.segvol(&format!("{line} -o plain.nii.gz --logits logits.nii --overlay plain.png")).assert());
    let files = ["mask.nii.gz", "logits.nii", "report.json", "picture.png"];
    // Longer and shorter than what is written.
    for old in ["", "old", &"old".repeat(1 << 20)] {
        let mut mounts = Vec::new();
        for name in files {
            fs::write(home.at(&format!("host_{name}")), old).expect("written");
            fs::write(home.at(name), "below").expect("written");
            mounts.push((format!("host_{name}"), name));
        }
        let mounts: Vec<(&str, &str)> = mounts.iter().map(|(source, target)| (&**source, *target)).collect();
        let options = "-o mask.nii.gz --logits logits.nii --report report.json --overlay picture.png";
        let Some(output) = with_mounts(&home, &mounts, &format!("{line} {options}")) else { return };
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{errors}");
        assert_eq!(errors.matches("[written_in_place]").count(), 4, "{errors}");
        assert!(errors.contains("file `") && errors.contains("mask.nii.gz`: it is a mount point"), "{errors}");
        for (host, plain) in
            [("host_mask.nii.gz", "plain.nii.gz"), ("host_logits.nii", "logits.nii"), ("host_picture.png", "plain.png")]
        {
            let plain = if plain == "logits.nii" { home.at("plain_logits.nii") } else { home.at(plain) };
            if !plain.exists() {
                said(home.segvol(&format!("{line} -o other.nii.gz --logits plain_logits.nii")).assert());
            }
            assert!(fs::read(home.at(host)).expect("read") == fs::read(&plain).expect("read"), "{host}");
        }
        let codes = home.json("host_report.json")["warnings"].to_string();
        assert_eq!(codes.matches("written_in_place").count(), 4, "{codes}");
        assert!(files.iter().all(|name| fs::read(home.at(name)).expect("read") == b"below"));
        let hidden: Vec<String> = names(home.0.path()).into_iter().filter(|name| name.starts_with('.')).collect();
        assert_eq!(hidden, Vec::<String>::new());
    }
    let line = format!("{line} -q -o mask.nii.gz --fail-on-warning=written-in-place");
    fs::write(home.at("host_mask.nii.gz"), "").expect("written");
    let output = with_mounts(&home, &[("host_mask.nii.gz", "mask.nii.gz")], &line).expect("mounted as before");
    assert_eq!(output.status.code(), Some(7));
    assert!(Volume::open(home.at("host_mask.nii.gz")).is_ok(), "it is written");
}

/// As `docker run -v bundle:/bundle`.
#[cfg(target_os = "linux")]
#[test]
fn a_mounted_folder_takes_a_bundle_and_an_empty_one_needs_no_force() {
    let home = Home::new();
    let micro = models::micro();
    fs::create_dir(home.at("micro")).expect("made");
    fs::write(home.at("micro/config.json"), models::config_json(&micro)).expect("written");
    segvol_tests::seeded::write_tokenizer(&home.at("micro"), &micro).expect("written");
    fs::copy(data("checkpoints/github.pth"), home.at("micro/SegVol_v1.pth")).expect("copied");
    said(home.segvol("convert micro/SegVol_v1.pth -o plain").assert());
    said(home.segvol("convert micro/SegVol_v1.pth -o half --precision fp16").assert());
    for name in ["volume", "volume/lost+found", "out"] {
        fs::create_dir(home.at(name)).expect("made");
    }
    let contents = |folder: &str| -> BTreeMap<String, Vec<u8>> {
        let files = names(&home.at(folder)).into_iter().map(|name| (home.at(folder).join(&name), name));
        files.filter(|(path, _)| path.is_file()).map(|(path, name)| (name, fs::read(path).expect("read"))).collect()
    };
    let mounts = [("volume", "out")];
    let convert = "convert micro/SegVol_v1.pth -o out";
    for line in [convert.to_owned(), format!("{convert} --force"), format!("{convert} --force --precision fp16")] {
        let Some(output) = with_mounts(&home, &mounts, &line) else { return };
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{line}: {errors}");
        assert!(errors.contains("out`: it is a mount point") && errors.contains("[written_in_place]"), "{errors}");
        assert!(home.at("volume/lost+found").is_dir(), "it is the disk's");
        // Files of the old bundle that the new one does not have are gone.
        let plain = if line.ends_with("fp16") { "half" } else { "plain" };
        assert!(contents("volume") == contents(plain), "{line}");
        assert_eq!(names(&home.at("volume")).iter().filter(|name| name.starts_with('.')).count(), 0, "{line}");
    }
    // The advice is never what is refused next.
    let output = with_mounts(&home, &mounts, convert).expect("mounted as before");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(USAGE) && errors.contains("--force replaces the bundle"), "{errors}");
    fs::write(home.at("volume/notes.txt"), "mine").expect("written");
    for force in ["", " --force"] {
        let output = with_mounts(&home, &mounts, &format!("{convert}{force}")).expect("mounted as before");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(USAGE) && errors.contains("`notes.txt`"), "{errors}");
        assert!(!errors.contains("hint: --force"), "{errors}");
    }
    fs::remove_file(home.at("volume/notes.txt")).expect("removed");
    // What a killed conversion leaves: no manifest, and a temporary folder. It is no bundle, and can be replaced.
    fs::remove_file(home.at("volume/manifest.json")).expect("removed");
    fs::create_dir(home.at("volume/.segvol-killed")).expect("made");
    refused(&home.segvol("inspect volume").assert(), 6, &["volume"]);
    let output = with_mounts(&home, &mounts, &format!("{convert} --force")).expect("mounted as before");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(contents("volume") == contents("plain"));
}

/// A file that this user may write to, in a folder that this user may not. Root may do everything, so the command runs as another
/// user then.
#[cfg(target_os = "linux")]
#[test]
fn a_file_in_a_closed_folder_is_written_in_place() {
    let outside = Outside::new();
    let at = |name: &str| outside.at(name);
    let mode = |name: &str, mode| outside.mode(name, mode);
    fs::create_dir(at("closed")).expect("made");
    fs::write(at("closed/m.nii"), "old").expect("written");
    for (name, bits) in [("", 0o777), ("segvol", 0o755), ("bundle", 0o755), ("closed/m.nii", 0o666), ("closed", 0o555)]
    {
        mode(name, bits);
    }
    let is_root = fs::File::create(at("closed/probe")).is_ok();
    let run = |temporary: &str| {
        let mut command = outside.command(is_root);
        command.env("TMPDIR", at(temporary)).env_remove("HOME");
        let line = "segment --provider cpu -m bundle -i ct.nii.gz --no-zoom --text liver -q -o closed/m.nii";
        command.args(line.split_whitespace()).current_dir(outside.at("")).assert()
    };
    // With a temporary folder, and in memory.
    for temporary in ["", "closed"] {
        fs::write(at("closed/m.nii"), "old").expect("written");
        let assert = run(temporary).success();
        let errors = String::from_utf8_lossy(&assert.get_output().stderr);
        assert!(errors.contains("its folder takes no new files") && errors.contains("[written_in_place]"), "{errors}");
        Volume::open(at("closed/m.nii")).expect("a mask");
    }
    mode("closed", 0o755);
}

#[test]
fn every_object_has_a_file_of_its_own_and_the_report_says_which() {
    let home = Home::new();
    let objects = [
        ("lesion", "liver"),
        ("lesion", "spleen"),
        ("lesion_2", "left kidney"),
        ("LESION", "aorta"),
        ("a/b", "liver"),
        ("../e", "liver"),
        ("nul", "liver"),
        ("", "liver"),
    ];
    let mut list: Vec<Value> = objects.iter().map(|(name, text)| json!({"name": name, "text": text})).collect();
    list.push(json!({"name": "肝".repeat(100), "text": "liver"}));
    home.write("objects.json", &json!({"schema_version": 1, "objects": list}));
    let line = "--prompts objects.json --no-zoom --per-object sub/masks --report report.json --overlay p.png";
    let assert = home.segment(line).assert().success();
    let errors = String::from_utf8_lossy(&assert.get_output().stderr).into_owned();
    let report = home.json("report.json");
    let found: Vec<&str> =
        report["objects"].as_array().expect("objects").iter().map(|o| o["file"].as_str().expect("a file")).collect();
    assert_eq!(
        found[..8],
        [
            "sub/masks/lesion.nii.gz",
            "sub/masks/lesion_3.nii.gz",
            "sub/masks/lesion_2.nii.gz",
            "sub/masks/LESION_4.nii.gz",
            "sub/masks/a_b.nii.gz",
            "sub/masks/___e.nii.gz",
            "sub/masks/nul_.nii.gz",
            "sub/masks/object.nii.gz",
        ]
    );
    assert_eq!(report["files"], json!({"overlay": "p.png"}));
    assert_eq!(names(&home.at("sub/masks")).len(), list.len());
    assert!(names(&home.at("sub/masks")).iter().all(|name| name.len() <= 255));
    for (file, object) in found.iter().zip(report["objects"].as_array().expect("objects")) {
        let inside = Volume::open(home.at(file)).expect("a mask").voxels().iter().filter(|&&v| v == 1.0).count();
        assert_eq!(object["voxels"]["zoom_in"].as_u64(), Some(inside as u64), "{file}");
    }
    let renamed: BTreeSet<&str> = errors.lines().filter(|line| line.contains("[file_renamed]")).collect();
    assert_eq!(renamed.len(), 3, "{errors}");
    assert!(errors.contains("`sub/masks/lesion_3.nii.gz`"), "{errors}");
    let warned = |index: usize| report["objects"][index]["warnings"].to_string().contains("file_renamed");
    assert_eq!([0, 1, 2, 3, 4, 8].map(warned), [false, true, false, true, false, true]);

    let name = "lesion";
    home.write(
        "objects.json",
        &json!({"schema_version": 1, "objects": [{"name": name, "text": "liver"}, {"name": name, "text": "spleen"}]}),
    );
    let line = "--prompts objects.json --no-zoom --per-object sub/masks -q --fail-on-warning=file_renamed";
    refused(&home.segment(line).assert(), 7, &["[file_renamed]"]);
}

#[test]
fn every_case_has_pictures_of_its_own_and_the_results_say_which() {
    let home = Home::new();
    let case = |name: &str| json!({"name": name, "image": "ct.nii.gz", "labels": "truth.nii.gz"});
    let cases = [case("a/b"), case("a_b"), case("A_B")];
    home.write("cases.json", &json!({"schema_version": 1, "structures": {"liver": 1}, "cases": cases}));
    let line =
        "eval --provider cpu -m bundle --cases cases.json --prompts text,box --no-zoom -q -o rows.json --overlay sub/p";
    let assert = home.segvol(line).assert().success();
    let errors = String::from_utf8_lossy(&assert.get_output().stderr).into_owned();
    assert_eq!(errors.matches("[file_renamed]").count(), 2, "{errors}");
    let rows = home.json("rows.json");
    let pictures = |index: usize| rows["cases"][index]["pictures"].clone();
    assert_eq!(pictures(0), json!({"text": "sub/p/a_b_2.text.png", "box": "sub/p/a_b_2.box.png"}));
    assert_eq!(pictures(1), json!({"text": "sub/p/a_b.text.png", "box": "sub/p/a_b.box.png"}));
    assert_eq!(pictures(2), json!({"text": "sub/p/A_B_3.text.png", "box": "sub/p/A_B_3.box.png"}));
    assert_eq!(names(&home.at("sub/p")).len(), 6);
}

/// Names from files could move the cursor, change the title or forge lines.
#[test]
fn no_name_from_a_file_is_printed_raw() {
    const NAME: &str = "a\u{1b}]0;title\u{7}\u{1b}[2J\u{9b}2J\u{202e}\nwarning: forged\n  warning: forged";
    let home = Home::new();
    home.write("objects.json", &json!({"schema_version": 1, "objects": [{"name": NAME, "text": "liver"}]}));
    let case = |name: &str, labels: &str| json!({"name": name, "image": "ct.nii.gz", "labels": labels});
    let cases = [case(NAME, "truth.nii.gz"), case("b", &format!("{NAME}.nii.gz"))];
    home.write("cases.json", &json!({"schema_version": 1, "structures": {NAME: 1}, "cases": cases}));
    let mut manifest = home.json("bundle/manifest.json");
    fs::create_dir(home.at("other")).expect("made");
    manifest["source"]["file"] = NAME.into();
    home.write("other/manifest.json", &manifest);
    home.write("bad.json", &json!({"schema_version": 1, NAME: 1, "objects": []}));
    let eval = "eval --provider cpu -m bundle --cases cases.json --prompts text --no-zoom";
    for line in [
        "segment --provider cpu -m bundle -i ct.nii.gz --no-zoom --prompts objects.json -o m.nii".to_owned(),
        "segment --provider cpu -m bundle -i ct.nii.gz --no-zoom --prompts objects.json -o m.nii --report -".to_owned(),
        "segment -m bundle -i ct.nii.gz --prompts objects.json -o m.nii --truth truth.nii.gz --truth-label x=1"
            .to_owned(),
        "segment -m bundle -i ct.nii.gz --prompts bad.json -o m.nii".to_owned(),
        eval.to_owned(),
        format!("{eval} --format csv"),
        format!("{eval} --format json"),
        format!("{eval} -o -"),
        format!("{eval} --log-format json"),
        "inspect other".to_owned(),
        "inspect other --json".to_owned(),
    ] {
        let output = home.segvol(&line).output().expect("run");
        for bytes in [output.stdout, output.stderr] {
            let text = String::from_utf8(bytes).expect("UTF-8");
            let raw = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
            assert!(!text.contains(raw), "{line}: {}", text.escape_debug());
            assert!(!text.lines().any(|line| line.trim_start().starts_with("warning: forged")), "{line}: {text}");
        }
    }
    let said = said(
        home.segvol(
            "segment --provider cpu -m bundle -i ct.nii.gz --no-zoom --prompts objects.json -o m.nii --report -",
        )
        .assert(),
    );
    let report: Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!(report["objects"][0]["name"], NAME, "the value stays the same");
}

#[test]
fn a_dash_is_standard_output_or_refused() {
    let home = Home::new();
    let before = names(home.0.path());
    let report = said(home.segment("--text liver --no-zoom -o sub/m.nii --report -").assert());
    let report: Value = serde_json::from_str(&report).expect("nothing but the report");
    assert_eq!(report["files"], json!({"output": "sub/m.nii"}));
    assert!(Volume::open(home.at("sub/m.nii")).is_ok());

    let eval = "eval --provider cpu -m bundle --cases cases.json --prompts text --no-zoom -q";
    let rows = said(home.segvol(&format!("{eval} -o - --format csv")).assert());
    assert!(rows.starts_with("case,structure,value,prompt,") && rows.lines().count() == 2, "{rows}");
    let rows = said(home.segvol(&format!("{eval} -o - --format json")).assert());
    assert_eq!(serde_json::from_str::<Value>(&rows).expect("JSON")["cases"][0]["case"], "ct");

    let segment = "segment -m bundle -i ct.nii.gz --text liver";
    for (line, option) in [
        (format!("{segment} -o -"), "--output `-`"),
        (format!("{segment} -o /dev/stdout"), "--output `/dev/stdout`"),
        (format!("{segment} -o m.nii --logits -"), "--logits `-`"),
        (format!("{segment} -o m.nii --overlay -"), "--overlay `-`"),
        (format!("{segment} --per-object -"), "--per-object `-`"),
        (format!("{eval} --work -"), "--work `-`"),
        (format!("{eval} --overlay -"), "--overlay `-`"),
        ("verify -m bundle --dump -".to_owned(), "--dump `-`"),
        ("bench -m bundle --plot -".to_owned(), "--plot `-`"),
    ] {
        refused(&home.segvol(&line).assert(), USAGE, &[option, "standard output"]);
    }
    assert_eq!(names(home.0.path()), before, "no file is made by the way");
}

/// Standard output that was redirected to an output or an input.
#[cfg(unix)]
#[test]
fn standard_output_is_an_output_too() {
    let home = Home::new();
    let eval = "eval -m bundle --cases cases.json --prompts text --no-zoom -q -o rows.csv";
    let mut command = std::process::Command::new(&*SEGVOL);
    command.args(eval.split_whitespace()).current_dir(home.0.path());
    let output = command.stdout(fs::File::create(home.at("rows.csv")).expect("a file")).output().expect("run");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(USAGE), "{errors}");
    assert!(errors.contains("--output `rows.csv`: is the same file as standard output"), "{errors}");
}

/// As in `segvol inspect --json | head`.
#[test]
fn a_closed_pipe_is_no_failure() {
    let home = Home::new();
    home.write(
        "bad_case.json",
        &json!({"schema_version": 1, "structures": {"liver": 1}, "cases": [
        {"image": "ct.nii.gz", "labels": "truth.nii.gz"}, {"image": "missing.nii", "labels": "truth.nii.gz"}]}),
    );
    let eval = "eval --provider cpu -m bundle --prompts text --no-zoom -q --cases";
    for (line, code) in [
        ("inspect bundle".to_owned(), 0),
        ("inspect bundle --json".to_owned(), 0),
        ("providers".to_owned(), 0),
        ("providers --json".to_owned(), 0),
        ("segment --provider cpu -m bundle -i ct.nii.gz --no-zoom --text liver -o m.nii".to_owned(), 0),
        ("segment --provider cpu -m bundle -i ct.nii.gz --no-zoom --text liver -o m.nii --report -".to_owned(), 0),
        (format!("{eval} cases.json --format json"), 0),
        (format!("{eval} bad_case.json"), 1),
        ("--help".to_owned(), 0),
    ] {
        let mut command = std::process::Command::new(&*SEGVOL);
        command.args(line.split_whitespace()).current_dir(home.0.path());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("started");
        drop(child.stdout.take());
        let output = child.wait_with_output().expect("ended");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{line}: {errors}");
        assert!(
            !errors.to_lowercase().contains("pipe") && (code != 0 || !errors.contains("error")),
            "{line}: {errors}"
        );
    }
    assert!(Volume::open(home.at("m.nii")).is_ok());
}

#[test]
fn logs_have_no_colours_and_follow_the_variable() {
    let home = Home::new();
    let run = |options: &str, variables: &[(&str, &str)]| {
        let line =
            format!("segment --provider cpu -m bundle -i ct.nii.gz --no-zoom --text liver -q -o m.nii {options}");
        let output = home.segvol(&line).envs(variables.iter().copied()).output().expect("run");
        let errors = String::from_utf8(output.stderr).expect("UTF-8");
        assert!(output.status.success() && output.stdout.is_empty(), "{errors}");
        assert!(!errors.contains('\u{1b}'), "{}", errors.escape_debug());
        errors
    };
    // The scan has odd intensities, which is no message of the log.
    let logged = |errors: String| errors.lines().filter(|line| !line.starts_with("warning: ")).count();
    assert_eq!(logged(run("", &[])), 0);
    let decisions = run("-v", &[]);
    assert!(!decisions.contains("ort::"), "messages of ONNX Runtime are printed on request only: {decisions}");
    assert!(run("", &[("RUST_LOG", "segvol=info,ort=trace")]).contains("ort::logging"), "this is a request");
    let debug = run("-vv", &[]);
    assert!(debug.contains("ort::logging"), "{debug}");
    assert!(run("", &[("RUST_LOG", "debug")]).contains("ort::logging"));
    assert!(!run("-vv", &[("RUST_LOG", "off")]).contains("ort::logging"), "the variable wins");
    assert_eq!(logged(run("", &[("RUST_LOG", "")])), 0);
    for line in run("-vv --log-format json", &[]).lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(line["level"].is_string() && line["fields"].is_object() && line["timestamp"].is_string(), "{line}");
    }
    refused(
        &home.segment("--text liver -o m.nii").env("RUST_LOG", "segvol=loud").assert(),
        USAGE,
        &["RUST_LOG", "loud"],
    );

    // Warnings and errors are objects too.
    let lines = |line: &str| -> Vec<Value> {
        let output = home.segvol(line).output().expect("run");
        let errors = String::from_utf8(output.stderr).expect("UTF-8");
        errors.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
    };
    let found = lines("--log-format json segment -m bundle -i ct.nii.gz --text liver -o ct.nii.gz");
    assert_eq!((found.len(), &found[0]["level"], &found[0]["fields"]["exit_code"]), (1, &json!("ERROR"), &json!(2)));
    let twice = json!([{"name": "a", "text": "liver"}, {"name": "a", "text": "liver"}]);
    home.write("objects.json", &json!({"schema_version": 1, "objects": twice}));
    let line = "segment --log-format json --provider cpu -m bundle -i ct.nii.gz --no-zoom --prompts objects.json --per-object sub";
    let found = lines(line);
    assert!(found.iter().any(|line| line["level"] == "WARN" && line["fields"]["code"] == "file_renamed"), "{found:?}");
}
