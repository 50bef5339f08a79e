//! Gives the shared library the name that programs look for, lets it find ONNX Runtime beside itself, and
//! keeps it loaded.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    if variable("CARGO_CFG_TARGET_OS") == "linux" {
        let (major, minor) = (variable("CARGO_PKG_VERSION_MAJOR"), variable("CARGO_PKG_VERSION_MINOR"));
        // Before 1.0 a minor version may break the interface.
        let interface = if major == "0" { format!("0.{minor}") } else { major };
        println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libsegvol.so.{interface}");
        println!("cargo::rustc-cdylib-link-arg=-Wl,-rpath,$ORIGIN");
        // Its threads run on after dlclose.
        println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
    }
}
