//! Installs the C library and compiles C programs against it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use crate::command;

/// A compiler: the environment variable that names it, its default name, and its arguments for the language standard.
#[derive(Debug, Clone, Copy)]
pub struct Compiler {
    variable: &'static str,
    name: &'static str,
    standard: &'static str,
}

/// C99 without extensions.
pub const CC: Compiler = Compiler { variable: "CC", name: "gcc", standard: "-std=c99" };

/// C++17 without extensions.
pub const CXX: Compiler = Compiler { variable: "CXX", name: "g++", standard: "-std=c++17" };

impl Compiler {
    /// The compiler with all warnings enabled and treated as errors.
    #[must_use]
    pub fn command(self) -> Command {
        let mut command = Command::new(std::env::var_os(self.variable).unwrap_or_else(|| self.name.into()));
        command.args([
            self.standard,
            "-g",
            "-O1",
            "-Wall",
            "-Wextra",
            "-Wpedantic",
            "-Werror",
            "-D_POSIX_C_SOURCE=200809L",
        ]);
        command
    }
}

/// The folder into which `scripts/install-c` installs the libraries that the tests build. ONNX Runtime is not in it.
pub static INSTALLED: LazyLock<PathBuf> = LazyLock::new(|| {
    let profile = command::SEGVOL.parent().expect("target/PROFILE");
    let prefix = profile.join("c-prefix");
    install(&prefix, &[]);
    prefix
});

/// Installs the libraries of this build into `prefix` with `scripts/install-c`.
///
/// # Panics
///
/// If the script fails.
pub fn install(prefix: &Path, more: &[&str]) {
    installed(prefix, command::SEGVOL.parent().expect("target/PROFILE"), more);
}

/// Runs `scripts/install-c` into `prefix`, with the libraries in the folder `built`.
///
/// # Panics
///
/// If the script fails.
pub fn installed(prefix: &Path, built: &Path, more: &[&str]) {
    let mut script = Command::new(root().join("scripts/install-c"));
    script.arg("--prefix").arg(prefix).arg("--built").arg(built).args(more);
    succeeds(&mut script);
}

/// The repository's folder.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Compiles a file of `bindings/c` against the installed shared library. The program is `dir` and the file's stem.
///
/// # Panics
///
/// If it does not compile.
#[must_use]
pub fn compiled(compiler: Compiler, source: &str, dir: &Path, more: &[&str]) -> PathBuf {
    compiled_file(compiler, &root().join("bindings/c").join(source), dir, more)
}

/// Like [`compiled`], for any file.
///
/// # Panics
///
/// If it does not compile.
#[must_use]
pub fn compiled_file(compiler: Compiler, source: &Path, dir: &Path, more: &[&str]) -> PathBuf {
    compiled_against(&INSTALLED, compiler, source, dir, more)
}

/// Like [`compiled_file`], against the library that [`installed`] put into `prefix`.
///
/// # Panics
///
/// If it does not compile.
#[must_use]
pub fn compiled_against(prefix: &Path, compiler: Compiler, source: &Path, dir: &Path, more: &[&str]) -> PathBuf {
    let program = dir.join(source.file_stem().expect("a name"));
    let lib = prefix.join("lib");
    let mut compile = compiler.command();
    compile.args(more).arg("-I").arg(prefix.join("include")).arg(source).arg("-o").arg(&program);
    compile.arg("-L").arg(&lib).args(["-lsegvol", "-lpthread"]).arg(format!("-Wl,-rpath,{}", lib.display()));
    succeeds(&mut compile);
    program
}

/// Runs a command that must succeed. Returns its standard output.
///
/// # Panics
///
/// If it cannot be started or fails. The message has its output.
#[track_caller]
pub fn succeeds(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{:?}: {error}", command.get_program()));
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {}\n{out}\n{err}", output.status);
    out.into_owned()
}
