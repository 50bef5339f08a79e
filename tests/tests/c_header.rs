//! `bindings/c/include/segvol.h` is what cbindgen makes of the crate, and C99 and C++17 take it.

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
        "segvol.h, line {}: the crate has {:?}, the file {:?}; write it again with scripts/c-header",
        line + 1,
        at(&made),
        at(&committed)
    );
}

#[test]
fn a_function_s_comment_says_who_owns_what_it_gives_and_which_threads_may_call_it() {
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
        // A handle or a text that is given must have its free named.
        if code.contains(" **") && !code.contains("const uint8_t **") {
            assert!(comment.contains("_free()"), "{declared}");
        }
    }
    assert!(functions > 30, "{functions} functions");
}

#[test]
fn c99_and_cpp17_take_the_headers_alone() {
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
