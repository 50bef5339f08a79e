//! `bindings/c/include/segvol.h` is what cbindgen generates from the crate, and it compiles as C99 and as C++17.

use std::process::Command;

use segvol_tests::c;

fn committed() -> String {
    std::fs::read_to_string(c::root().join("bindings/c/include/segvol.h")).expect("the header")
}

#[test]
fn the_committed_header_is_that_of_the_crate() {
    let made = c::succeeds(Command::new(c::root().join("scripts/c-header")).arg("--print"));
    let committed = committed();
    let line = made.lines().zip(committed.lines()).take_while(|(made, committed)| made == committed).count();
    let at = |text: &str| text.lines().nth(line).unwrap_or("the end").to_owned();
    assert!(
        made == committed,
        "segvol.h, line {}: the crate has {:?}, the file {:?}; generate it again with scripts/c-header",
        line + 1,
        at(&made),
        at(&committed)
    );
}

#[test]
fn the_comment_of_a_function_names_the_owner_of_its_output_and_the_threads() {
    let header = committed();
    let mut functions = 0;
    for declared in header.split("/**").skip(1) {
        let Some((comment, code)) = declared.split_once("*/") else { panic!("a comment without an end") };
        let code = code.split_once(';').map_or(code, |(code, _)| code);
        if !code.contains(" segvol_") && !code.contains("*segvol_") {
            continue;
        }
        functions += 1;
        assert!(comment.contains("Any thread"), "{declared}");
        // The comment must name the function that frees a handle or a string.
        if code.contains(" **") && !code.contains("const uint8_t **") {
            assert!(comment.contains("_free()"), "{declared}");
        }
    }
    assert!(functions > 30, "{functions} functions");
}

#[test]
fn the_headers_compile_alone_as_c99_and_cpp17() {
    let folder = segvol_tests::folder!();
    let include = c::root().join("bindings/c/include");
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
