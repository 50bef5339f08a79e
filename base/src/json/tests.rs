use super::*;

fn error(text: &str) -> String {
    Document::parse(text).expect_err(text).to_string()
}

#[test]
fn what_serde_json_reads_is_read_alike_and_nothing_else() {
    fn same(at: At<'_>, expected: &serde_json::Value) {
        use serde_json::Value as Json;
        match expected {
            Json::Null => assert_eq!(at.described(), "null"),
            Json::Bool(value) => assert_eq!(at.described(), value.to_string()),
            Json::Number(number) => assert_eq!(at.number("").ok(), number.as_f64()),
            Json::String(text) => assert_eq!(at.text(""), Ok(&**text)),
            Json::Array(list) => {
                let found = at.list("").expect("a list");
                assert_eq!(found.len(), list.len());
                found.zip(list).for_each(|(found, expected)| same(found, expected));
            }
            Json::Object(fields) => {
                let found = at.entries("").expect("an object");
                assert_eq!(found.len(), fields.len());
                found.for_each(|(name, found)| same(found, &fields[name]));
            }
        }
    }
    for text in [
        "{}",
        "[]",
        " [ 1 ,\t-0.5e3,\r\n1E+2, 0, -0, 1e-400, 12345678901234567890 ] ",
        r#"{"a": {"b": [true, false, null, ""]}, "ä\"\\\/\b\f\n\r\t\u00e4\ud83e\udec1": "\u0000x\ud83e\udec1y"}"#,
        "\"text\"",
        "null",
        "-1",
        "[[[[]]]]",
    ] {
        let expected: serde_json::Value = serde_json::from_str(text).expect(text);
        same(Document::parse(text).expect(text).root(), &expected);
    }
    for text in [
        "",
        "{",
        "[1",
        "[1,]",
        "[,1]",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{a:1}",
        "{'a':1}",
        "[01]",
        "[1.]",
        "[.5]",
        "[+1]",
        "[-]",
        "[1e]",
        "[0x10]",
        "[1e999]",
        "[NaN]",
        "[Infinity]",
        "[tru]",
        "[truer]",
        "[True]",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\ud800\"",
        "\"\\ud800\\u0041\"",
        "\"\\u+123\"",
        "\"a\nb\"",
        "\"a",
        "1 2",
        "{} {}",
        "[1 2]",
        "/**/1",
        "[1] // end",
        "\u{a0}1",
        "[\"\u{1}\"]",
    ] {
        assert!(serde_json::from_str::<serde_json::Value>(text).is_err(), "{text}");
        assert!(Document::parse(text).is_err(), "{text}");
    }
    let deep = "[".repeat(10_000);
    assert!(error(&deep).contains("at most 64"));
}

#[test]
fn mistakes_of_syntax_are_named_with_their_place() {
    for (text, part) in [
        ("", "expected JSON; found an empty file (line 1, column 1)"),
        (" \r\n", "an empty file"),
        ("<html>", "found HTML or XML"),
        ("version https://git-lfs.github.com/spec/v1", "Git LFS pointer"),
        ("liver: 1", "expected JSON, which begins with {; found `liver` (line 1, column 1)"),
        ("{\n  \"a\": 1,\n}", "found `}` after a comma (remove the comma) (line 3, column 1)"),
        ("[1, 2,]", "found `]` after a comma"),
        ("{\"a\": 1 // one\n}", "found a comment (JSON has none) (line 1, column 9)"),
        ("# a\n{}", "found a comment"),
        ("{'a': 1}", "found another kind of quote (JSON has only \")"),
        ("{“a”: 1}", "found another kind of quote"),
        ("{a: 1}", "the name of a field in double quotes; found `a`"),
        ("[NaN]", "found NaN (JSON has no such number) (line 1, column 2)"),
        ("[-Infinity]", "found -Infinity (JSON has no such number)"),
        ("{\"a\": True}", "found True (JSON has `true`)"),
        ("{\"a\": None}", "found None (JSON has `null`)"),
        ("{\"a\": 1, \"b\": 2, \"a\": 3}", "every field of an object once; found `a` twice (line 1, column 18)"),
        ("[1 2]", "a comma or ]"),
        ("{\"a\" 1}", "expected a colon after \"a\"; found `1`"),
        ("[1, 2", "found the end of the file"),
        ("{} {}", "expected the end of the file; found `{`"),
        ("{\"a\": \"C:\\data\"}", "a path on Windows needs \\\\"),
        ("[.5]", "found `.5`"),
        ("[\"ä\", 01]", "found `01` (line 1, column 7)"),
    ] {
        let message = error(text);
        assert!(message.contains(part), "{text:?}: {message}");
    }
    assert!(Document::parse("\u{feff}{}").is_ok(), "a byte order mark");
}

#[test]
fn values_say_where_they_are_and_what_they_should_be() {
    let text = "{\"a\": [{\"b\": 1}, {\"b\": \"2\"}], \"c\": {\"i\": 1}, \"n\": null,\n \"version\": 2.5}";
    let document = Document::parse(text).expect("JSON");
    let root = document.root();
    let fields = root.fields("", &["a", "c", "n", "version"], |_| false).expect("fields");
    let list = fields.require("a", "").expect("there");
    let second = list.list("").expect("a list").nth(1).expect("two");
    let b = second.fields("", &["b"], |_| false).expect("fields").get("b").expect("there").number("a number");
    assert_eq!(
        b.expect_err("a text").to_string(),
        "`a[1].b`: expected a number; found the text \"2\" (a number has no quotes) (line 1, column 24)"
    );
    let c = fields.get("c").expect("there").numbers(3..=4, "[i, j, k]").expect_err("an object");
    assert_eq!(c.to_string(), "`c`: expected [i, j, k]; found an object with the field `i` (line 1, column 36)");
    let version = fields.get("version").expect("there").whole(1..=3, "1 to 3").expect_err("not whole");
    assert_eq!(version.to_string(), "`version`: expected 1 to 3; found the number 2.5 (line 2, column 13)");
    assert!(fields.get("n").is_none() && fields.get("none").is_none());
    let missing = fields.require("n", "\"n\": 1").expect_err("null");
    assert!(missing.to_string().starts_with("expected the field `n`, for example \"n\": 1; found an object with"));

    let unknown = root.fields("", &["a", "c", "name", "versions"], |field| field == "n").expect_err("unknown");
    let message = unknown.to_string();
    assert!(message.contains("only the fields `a`, `c`, `name`, `versions`; found the field `version`"), "{message}");
    assert!(message.contains("did you mean `versions`?"), "{message}");
    let known = ["text", "points", "box", "space", "name"];
    for (name, near) in
        [("txt", "text"), ("point", "points"), ("Box", "box"), ("bounding_box", "box"), ("names", "name")]
    {
        assert_eq!(nearest(name, &known), Some(near), "{name}");
    }
    assert_eq!(nearest("orientation", &known), None);
}

#[test]
fn a_line_of_a_file_is_named_by_its_caller() {
    let found = |line: &str| {
        let error = serde_json::from_str::<[u8; 2]>(line).expect_err(line);
        line_problem(line.as_bytes(), &error)
    };
    assert_eq!(found("[1, two]"), "expected a value; found `two` (column 5)");
    assert_eq!(found("[1,"), "expected a value; found the end of the line (column 4)");
    assert_eq!(found("[1, 300]"), "invalid value: integer `300`, expected u8 (column 7)");
    assert_eq!(found("[1]"), "invalid length 1, expected an array of length 2 (column 3)");
    let gzip = line_problem(b"\x1f\x8b\x08", &"expected value at line 1 column 1");
    assert_eq!(gzip, "expected JSON; found a gzip file");
}
