//! Linker options for the shared library: the name that programs look for, the search path for ONNX Runtime (beside the
//! library), and that it is never unloaded.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    if variable("CARGO_CFG_TARGET_OS") == "linux" {
        let (major, minor) = (variable("CARGO_PKG_VERSION_MAJOR"), variable("CARGO_PKG_VERSION_MINOR"));
        // Before version 1.0, a new minor version may break the interface.
        let interface = if major == "0" { format!("0.{minor}") } else { major };
        println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libsegvol.so.{interface}");
        println!("cargo::rustc-cdylib-link-arg=-Wl,-rpath,$ORIGIN");
        // What other crates export for C, as the translated OpenJPEG does, must not take the place of the program's own library.
        println!("cargo::rustc-cdylib-link-arg=-Wl,--exclude-libs,ALL");
        // dlclose must not unload the library, because its threads still run.
        println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
    }
}
