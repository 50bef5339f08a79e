//! `bindings/c/include/segvol.h` is what cbindgen makes of the crate, and C99 and C++17 take it.

use std::path::{Path, PathBuf};

use segvol_tests::c;

/// Set by `scripts/c-header`: write the header, do not compare.
const WRITE: &str = "SEGVOL_WRITE_HEADER";

/// The first function of every part of the manual, and the part's name.
const PARTS: &[(&str, &str)] = &[
    ("segvol_status_name", "Statuses, versions, messages"),
    ("segvol_model_open", "A bundle, opened"),
    ("segvol_volume_open", "A scan, from a file or from memory"),
    ("segvol_study_new", "A scan, ready for prompts"),
    ("segvol_result_len", "The objects of one call"),
    ("segvol_mask_save", "Masks"),
    ("segvol_options_init", "Settings and prompts"),
    ("segvol_providers_new", "Providers"),
    ("segvol_log_set", "Messages"),
];

fn crate_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../bindings/c")
}

fn made() -> String {
    let folder = crate_folder();
    let config = cbindgen::Config::from_file(folder.join("cbindgen.toml")).expect("cbindgen.toml");
    let bindings = cbindgen::Builder::new().with_crate(&folder).with_config(config).generate().expect("bindings");
    let mut bytes = Vec::new();
    bindings.write(&mut bytes);
    let mut header = String::from_utf8(bytes).expect("UTF-8");
    for (function, part) in PARTS {
        let at = header.find(&format!(" {function}(")).or_else(|| header.find(&format!("*{function}(")));
        let at = at.unwrap_or_else(|| panic!("no {function} in the header"));
        let comment = header[..at].rfind("/**").expect("every function has a comment");
        let rule = "-".repeat(part.len());
        header.insert_str(comment, &format!("/*\n * {part}\n * {rule}\n */\n\n"));
    }
    header
}

#[test]
fn the_committed_header_is_that_of_the_crate() {
    let path = crate_folder().join("include/segvol.h");
    let made = made();
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(&path, made).expect("written");
        return;
    }
    let committed = std::fs::read_to_string(&path).expect("the header");
    let differs = made.lines().zip(committed.lines()).position(|(made, committed)| made != committed);
    let line = differs.unwrap_or_else(|| made.lines().count().min(committed.lines().count()));
    let at = |text: &str| text.lines().nth(line).unwrap_or("the end").to_owned();
    assert!(
        made == committed,
        "segvol.h, line {}: the crate has {:?}, the file {:?}; write it again with scripts/c-header",
        line + 1,
        at(&made),
        at(&committed)
    );
}

#[test]
fn the_parts_of_the_manual_are_in_order() {
    let header = std::fs::read_to_string(crate_folder().join("include/segvol.h")).expect("the header");
    let places: Vec<usize> =
        PARTS.iter().map(|(_, part)| header.find(&format!(" * {part}\n")).unwrap_or_else(|| panic!("{part}"))).collect();
    assert!(places.is_sorted(), "{places:?}");
}

#[test]
fn c99_and_cpp17_take_the_headers_alone() {
    let folder = segvol_tests::folder!();
    let include = crate_folder().join("include");
    for (name, text, compiler) in [
        ("alone.c", "#include <segvol.h>\nint main(void) { return SEGVOL_STATUS_OK; }\n", c::CC),
        ("alone.cpp", "#include <segvol.h>\nint main() { return SEGVOL_STATUS_OK; }\n", c::CXX),
        ("twice.cpp", "#include <segvol.hpp>\n#include <segvol.hpp>\nint main() { return 0; }\n", c::CXX),
    ] {
        let source = folder.path().join(name);
        std::fs::write(&source, text).expect("written");
        let mut compile = compiler.command();
        compile.arg("-fsyntax-only").arg("-I").arg(&include).arg(&source);
        c::succeeds(&mut compile);
    }
}
