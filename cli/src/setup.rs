//! `segvol setup`: fetches ONNX Runtime, which the command loads when it runs a bundle.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use clap::ValueEnum;
use segvol::Provider;
use segvol::probe::{self, LIBRARY_NAME};
use segvol_base::{ErrorKind, TemporaryFolder, printable_path};
use segvol_onnx::manifest::sha256_file;

/// Fetch ONNX Runtime for this user: a pinned wheel from PyPI, with pip, checked by its hash
///
/// Says what it will do, then puts the libraries of the wheel into $SEGVOL_HOME/onnxruntime/FLAVOUR, or into the user's data folder
/// (~/.local/share/segvol/onnxruntime/FLAVOUR), where every command finds them. Nothing is installed into Python. Prints
/// nothing if the pinned version is there already. `segvol providers` shows the order in which libraries are looked for.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  segvol setup cpu --dry-run\n  segvol setup cpu\n  segvol setup openvino --wheel onnxruntime_openvino-1.24.1-cp311-cp311-manylinux_2_28_x86_64.whl"
)]
pub(crate) struct Setup {
    /// Which library
    #[arg(value_enum)]
    flavour: Flavour,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
    /// Take this file instead of fetching it, for a machine without a network; it must be the wheel that --dry-run names
    #[arg(long, value_name = "FILE")]
    wheel: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Flavour {
    /// The CPU provider
    Cpu,
    /// Also OpenVINO, with its own libraries
    Openvino,
    /// Also CUDA and TensorRT; CUDA 13 and cuDNN 9 must be on the machine
    Gpu,
}

impl Flavour {
    fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Openvino => "openvino",
            Self::Gpu => "gpu",
        }
    }

    /// A provider for which this flavour is preferred.
    fn provider(self) -> Provider {
        match self {
            Self::Cpu => Provider::Cpu,
            Self::Openvino => Provider::OpenVino,
            Self::Gpu => Provider::Cuda,
        }
    }
}

/// Why the library could not be fetched. The hint names the ways without this command.
#[derive(Debug, thiserror::Error)]
#[error("{reason}")]
pub(crate) struct SetupError {
    reason: String,
    kind: ErrorKind,
    /// The wheel that would do; `None` if none is pinned for this machine.
    pub(crate) wheel: Option<String>,
}

impl SetupError {
    /// [`ErrorKind::Input`] if the user named another file than the wheel, else [`ErrorKind::Runtime`].
    pub(crate) fn kind(&self) -> ErrorKind {
        self.kind
    }
}

/// The file that says which wheel a folder is from. Without it, the folder is fetched again.
const STAMP: &str = "stamp";

/// The table of `scripts/get-onnxruntime`, too.
const WHEELS: &str = include_str!("../../scripts/onnxruntime-wheels.txt");

/// A line of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wheel {
    flavour: String,
    system: String,
    machine: String,
    package: String,
    version: String,
    platform: String,
    bytes: u64,
    sha256: String,
}

impl Wheel {
    fn all() -> impl Iterator<Item = Self> {
        let lines = WHEELS.lines().filter(|line| !line.starts_with('#'));
        lines.map(|line| Self::parse(line).expect("a test reads every line of the table"))
    }

    fn parse(line: &str) -> Option<Self> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [flavour, system, machine, package, version, platform, bytes, sha256] = words[..] else { return None };
        let [flavour, system, machine, package, version, platform, sha256] =
            [flavour, system, machine, package, version, platform, sha256].map(str::to_owned);
        Some(Self { flavour, system, machine, package, version, platform, bytes: bytes.parse().ok()?, sha256 })
    }

    /// The wheel for this machine.
    fn of(flavour: Flavour) -> Result<Self, SetupError> {
        let (system, machine) = (std::env::consts::OS, std::env::consts::ARCH);
        let fits = |wheel: &Self| wheel.system.eq_ignore_ascii_case(system) && wheel.machine == machine;
        Self::all().find(|wheel| wheel.flavour == flavour.name() && fits(wheel)).ok_or_else(|| {
            let machines =
                |wheel: Self| (wheel.flavour == flavour.name()).then(|| format!("{} {}", wheel.system, wheel.machine));
            let known: Vec<String> = Self::all().filter_map(machines).collect();
            let name = flavour.name();
            SetupError {
                reason: format!("no `{name}` library is pinned for {system} {machine}, only for {}", known.join(", ")),
                kind: ErrorKind::Runtime,
                wheel: None,
            }
        })
    }

    fn file_name(&self) -> String {
        format!("{}-{}-cp311-cp311-{}.whl", self.package.replace('-', "_"), self.version, self.platform)
    }

    /// What is in the file `stamp` beside the libraries.
    fn stamp(&self) -> String {
        format!("{}=={} sha256:{}\n", self.package, self.version, self.sha256)
    }

    fn failed(&self, reason: impl Into<String>) -> SetupError {
        SetupError { reason: reason.into(), kind: ErrorKind::Runtime, wheel: Some(self.file_name()) }
    }

    /// Whether the libraries of this wheel are in a folder.
    fn is_in(&self, folder: &Path) -> bool {
        let stamp = std::fs::read_to_string(folder.join(STAMP));
        folder.join(LIBRARY_NAME).is_file() && stamp.is_ok_and(|stamp| stamp == self.stamp())
    }
}

impl Setup {
    pub(crate) fn run(self, out: &mut impl Write) -> anyhow::Result<()> {
        let wheel = Wheel::of(self.flavour)?;
        let folder = probe::installed_folder(self.flavour.name());
        let folder = folder.ok_or_else(|| wheel.failed("this user has no home folder: set SEGVOL_HOME to a folder"))?;
        if wheel.is_in(&folder) {
            if self.dry_run {
                writeln!(out, "nothing to do: {} {} is in {}", wheel.package, wheel.version, printable_path(&folder))?;
            }
            return Ok(());
        }
        self.show(out, &wheel, &folder)?;
        out.flush()?;
        if self.dry_run {
            return Ok(());
        }
        check_system(&wheel, self.wheel.is_none())?;
        if let Some(file) = &self.wheel {
            check_hash(&wheel, file)?;
        }
        let parent = folder.parent().context("a folder for the library")?;
        let written = || format!("folder `{}`", printable_path(&folder));
        segvol_base::create_folder(parent).with_context(written)?;
        let work = TemporaryFolder::new_in(parent).with_context(written)?;
        let file = match &self.wheel {
            Some(file) => std::path::absolute(file)?,
            None => download(&wheel, work.path())?,
        };
        install(&wheel, &file, work.path(), &folder)?;
        writeln!(out, "installed  {}", printable_path(&folder.join(LIBRARY_NAME)))?;
        let places = probe::places(None, &[self.flavour.provider()]);
        let used = probe::chosen(&places);
        if let Some(library) = used.library.as_ref().filter(|library| !library.starts_with(&folder)) {
            let name = &used.name;
            writeln!(out, "note       another library comes first: {} ({name})", printable_path(library))?;
        }
        Ok(())
    }

    /// Says what will be done.
    fn show(&self, out: &mut impl Write, wheel: &Wheel, folder: &Path) -> io::Result<()> {
        let source = match &self.wheel {
            Some(file) => printable_path(file).to_string(),
            None => format!("PyPI, with python3 -m pip download ({:.0} MB)", wheel.bytes as f64 / 1e6),
        };
        writeln!(out, "package    {} {}", wheel.package, wheel.version)?;
        writeln!(out, "wheel      {}", wheel.file_name())?;
        writeln!(out, "from       {source}")?;
        writeln!(out, "bytes      {}", wheel.bytes)?;
        writeln!(out, "sha256     {}", wheel.sha256)?;
        writeln!(out, "into       {}", printable_path(folder))
    }
}

/// A program of the system, with its working folder: Python imports modules from there first, so it must be ours.
fn python(folder: &Path) -> Command {
    let mut command = Command::new("python3");
    command.current_dir(folder);
    command
}

/// Checks what the wheel and this command need, before anything is fetched.
fn check_system(wheel: &Wheel, fetch: bool) -> Result<(), SetupError> {
    let glibc = wheel.platform.split('_').skip(1).take(2).collect::<Vec<_>>().join(".");
    if cfg!(target_env = "musl") {
        let reason =
            format!("the wheel needs glibc {glibc} or later, and this program was built for another C library");
        return Err(wheel.failed(reason));
    }
    // Without `getconf`, the dynamic loader says later what is missing.
    let found = Command::new("getconf").arg("GNU_LIBC_VERSION").output().ok();
    let found = found.and_then(|found| String::from_utf8(found.stdout).ok());
    if let Some(found) = found.as_deref().and_then(|found| found.trim().strip_prefix("glibc "))
        && numbers(found) < numbers(&glibc)
    {
        return Err(wheel.failed(format!("the wheel needs glibc {glibc} or later, found {found}")));
    }
    let needs = "is needed to fetch and unpack the wheel";
    let runs = |arguments: &[&str]| {
        let done = python(&std::env::temp_dir()).arg("-I").args(arguments).output();
        done.is_ok_and(|done| done.status.success())
    };
    if !runs(&["--version"]) {
        return Err(wheel.failed(format!("python3 {needs}, and is not on the PATH or does not start")));
    }
    let pip = || python(&std::env::temp_dir()).args(["-m", "pip", "--version"]).output();
    if fetch && !pip().is_ok_and(|done| done.status.success()) {
        let install = "on Debian and Ubuntu, `apt install python3-pip` installs it";
        return Err(wheel.failed(format!("python3 has no pip, which {needs}; {install}")));
    }
    Ok(())
}

fn numbers(version: &str) -> Vec<u32> {
    version.split('.').map(|number| number.parse().unwrap_or(0)).collect()
}

/// Downloads the wheel into a folder, with pip, which refuses a wheel with another hash.
fn download(wheel: &Wheel, folder: &Path) -> anyhow::Result<PathBuf> {
    let Wheel { package, version, platform, sha256, .. } = wheel;
    let requirements = folder.join("requirements.txt");
    std::fs::write(&requirements, format!("{package}=={version} --hash=sha256:{sha256}\n"))?;
    let mut pip = python(folder);
    pip.args([
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--only-binary=:all:",
        "--require-hashes",
        "--dest",
        ".",
    ]);
    pip.args(["--python-version", "3.11", "--implementation", "cp", "--abi", "cp311", "--platform", platform]);
    pip.arg("--requirement").arg(&requirements);
    // A pip that is set up to work in virtual environments alone would refuse; nothing is installed here.
    pip.env("PIP_REQUIRE_VIRTUALENV", "0").env("PIP_DISABLE_PIP_VERSION_CHECK", "1");
    let done = pip.output().context("python3")?;
    if !done.status.success() {
        let reason = last_lines(&done.stderr);
        return Err(wheel.failed(format!("pip could not fetch {package} {version}: {reason}")).into());
    }
    Ok(folder.join(wheel.file_name()))
}

/// The last lines of what a program said, in one line: the first ones are warnings and places in its source.
fn last_lines(said: &[u8]) -> String {
    let said = String::from_utf8_lossy(said);
    let lines: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let last = lines[lines.len().saturating_sub(3)..].join("; ");
    if last.is_empty() { "it gave no reason".to_owned() } else { last }
}

/// Refuses a file that is not the wheel.
fn check_hash(wheel: &Wheel, file: &Path) -> Result<(), SetupError> {
    let refused = |reason: String| SetupError {
        reason: format!("{}: {reason}", printable_path(file)),
        kind: ErrorKind::Input,
        wheel: Some(wheel.file_name()),
    };
    let found = sha256_file(file).map_err(|error| refused(error.to_string()))?;
    if found == wheel.sha256 {
        return Ok(());
    }
    Err(refused(format!("expected {} with SHA-256 {}, found SHA-256 {found}", wheel.file_name(), wheel.sha256)))
}

/// Checks the hash of a wheel, unpacks it in `work`, and puts its libraries into `folder`, all at once.
fn install(wheel: &Wheel, file: &Path, work: &Path, folder: &Path) -> anyhow::Result<()> {
    check_hash(wheel, file)?;
    let unpacked = work.join("wheel");
    let done = python(work).args(["-I", "-m", "zipfile", "--extract"]).arg(file).arg(&unpacked).output();
    let done = done.context("python3")?;
    if !done.status.success() {
        return Err(wheel.failed(format!("python3 could not unpack the wheel: {}", last_lines(&done.stderr))).into());
    }
    let made = TemporaryFolder::beside(folder)?;
    // The providers must lie beside the main library, and keep the names that it looks for.
    let inside = unpacked.join("onnxruntime");
    let mut files: Vec<PathBuf> = ["LICENSE", "ThirdPartyNotices.txt"].map(|name| inside.join(name)).into();
    for entry in std::fs::read_dir(inside.join("capi"))? {
        let name = entry?.file_name();
        let text = name.to_string_lossy();
        if text.starts_with("lib") && text.contains(".so") {
            files.push(inside.join("capi").join(name));
        }
    }
    let library = format!("{LIBRARY_NAME}.{}", wheel.version);
    if !files.iter().any(|file| file.ends_with(&library)) {
        return Err(wheel.failed(format!("the wheel has no {library}")).into());
    }
    for file in files.into_iter().filter(|file| file.is_file()) {
        std::fs::File::open(&file)?.sync_all()?;
        std::fs::rename(&file, made.path().join(file.file_name().unwrap_or_default()))?;
    }
    #[cfg(unix)]
    std::os::unix::fs::symlink(&library, made.path().join(LIBRARY_NAME))?;
    #[cfg(not(unix))]
    std::fs::copy(made.path().join(&library), made.path().join(LIBRARY_NAME))?;
    std::fs::write(made.path().join(STAMP), wheel.stamp())?;
    made.publish(folder, STAMP).with_context(|| format!("folder `{}`", printable_path(folder)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_table_is_a_wheel() {
        let wheels: Vec<Wheel> = Wheel::all().collect();
        for flavour in probe::FLAVOURS {
            assert!(wheels.iter().any(|wheel| wheel.flavour == flavour), "{flavour}");
        }
        for wheel in &wheels {
            assert!(wheel.sha256.len() == 64 && wheel.bytes > 1 << 20 && numbers(&wheel.version)[0] == 1, "{wheel:?}");
        }
        assert_eq!(wheels[0].file_name(), "onnxruntime-1.32.0-cp311-cp311-manylinux_2_28_x86_64.whl");
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        assert!(numbers("2.9") < numbers("2.28") && numbers("2.36") > numbers("2.28"));
    }

    #[cfg(unix)]
    #[test]
    fn a_wheels_libraries_appear_all_at_once_and_only_with_the_right_hash() {
        let dir = tempfile::tempdir().expect("a folder");
        let capi = dir.path().join("onnxruntime/capi");
        std::fs::create_dir_all(&capi).expect("made");
        for name in ["libonnxruntime.so.1.99.0", "libonnxruntime_providers_shared.so", "_pybind_state.py"] {
            std::fs::write(capi.join(name), name).expect("written");
        }
        std::fs::write(dir.path().join("onnxruntime/LICENSE"), "a licence").expect("written");
        let file = dir.path().join("a.whl");
        let packed = python(dir.path()).args(["-I", "-m", "zipfile", "-c"]).arg(&file).arg("onnxruntime").status();
        assert!(packed.expect("python3").success());
        let mut wheel = Wheel { version: "1.99.0".to_owned(), ..Wheel::all().next().expect("a line") };
        let (work, folder) = (dir.path().join("work"), dir.path().join("home/cpu"));
        std::fs::create_dir_all(dir.path().join("home")).expect("made");
        std::fs::create_dir(&work).expect("made");

        let refused = install(&wheel, &file, &work, &folder).expect_err("another hash");
        assert!(refused.to_string().contains(&wheel.sha256), "{refused}");
        assert!(!folder.exists());
        wheel.sha256 = sha256_file(&file).expect("read");
        install(&wheel, &file, &work, &folder).expect("installed");
        assert!(wheel.is_in(&folder));
        let mut names: Vec<_> =
            std::fs::read_dir(&folder).expect("listed").map(|entry| entry.expect("an entry").file_name()).collect();
        names.sort();
        let expected =
            ["LICENSE", "libonnxruntime.so", "libonnxruntime.so.1.99.0", "libonnxruntime_providers_shared.so", "stamp"];
        assert_eq!(names, expected);
        assert_eq!(std::fs::read_dir(dir.path().join("home")).expect("listed").count(), 1);

        let other = Wheel { version: "1.98.0".to_owned(), ..wheel.clone() };
        let refused = install(&other, &file, &dir.path().join("work"), &folder).expect_err("another version");
        assert!(refused.to_string().contains("libonnxruntime.so.1.98.0"), "{refused}");
        assert!(wheel.is_in(&folder), "what was there stays");
    }
}
