use std::fs;
use std::path::Path;

use super::*;

fn read(text: &str) -> Result<Vec<Case>, String> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("cases.json");
    fs::write(&path, text).expect("written");
    read_list(&path).map_err(|error| error.reason)
}

#[test]
fn a_list_gives_names_paths_and_structures() {
    let cases = read(
        r#"{"schema_version": 1, "structures": {"spleen": 2, "liver": 1}, "cases": [
            {"image": "scans/a.nii.gz", "labels": "a_labels.nii"},
            {"name": "late", "image": "b.nii", "labels": "/abs/b.nii", "structures": {"liver": 6}}]}"#,
    )
    .expect("a list");
    assert_eq!(cases.iter().map(|case| case.name.as_str()).collect::<Vec<_>>(), ["a", "late"]);
    assert!(cases[0].image.ends_with("scans/a.nii.gz") && cases[0].image.is_absolute());
    assert_eq!(cases[1].labels.as_deref(), Some(Path::new("/abs/b.nii")));
    let structures = |case: &Case| -> Vec<(String, u16, bool)> {
        case.structures.iter().map(|s| (s.name.clone(), s.value, s.promised)).collect()
    };
    assert_eq!(structures(&cases[0]), [("liver".to_owned(), 1, false), ("spleen".to_owned(), 2, false)]);
    assert_eq!(structures(&cases[1]), [("liver".to_owned(), 6, true)]);
}

#[test]
fn mistakes_name_the_case() {
    let with = |structures: &str, cases: &str| {
        read(&format!(r#"{{"schema_version": 1{structures}, "cases": [{cases}]}}"#)).expect_err("a mistake")
    };
    let good = r#"{"image": "a.nii", "labels": "b.nii"}"#;
    let names = r#", "structures": {"liver": 1}"#;
    for (structures, cases, parts) in [
        (names, format!(r#"{good}, {{"image": "c.nii", "label": "b.nii"}}"#), vec!["case 2", "label"]),
        (names, format!(r#"{good}, {{"labels": "c.nii"}}"#), vec!["case 2", "`image`"]),
        (names, format!(r#"{good}, {{"image": 3}}"#), vec!["case 2: `cases[1].image`", "the number 3"]),
        (names, format!("{good}, {good}"), vec!["cases 1 and 2", "\"a\""]),
        (names, String::new(), vec!["at least one case"]),
        ("", good.to_owned(), vec!["case 1", "\"a\"", "structures"]),
        (r#", "structures": {"liver": 70000}"#, good.to_owned(), vec!["liver", "70000"]),
        (r#", "structures": {"liver": 0}"#, good.to_owned(), vec!["liver", "0"]),
        (
            r#", "structures": {"liver": 1, "liver": 2}"#,
            good.to_owned(),
            vec!["every field of an object once", "`liver` twice"],
        ),
        (
            r#", "structures": {}"#,
            good.to_owned(),
            vec!["`structures`", "{\"liver\": 1, \"spleen\": 2}", "without fields"],
        ),
        (r#", "structures": {" ": 1}"#, good.to_owned(), vec!["\" \" as a name"]),
        (r#", "structures": {"liver": "1"}"#, good.to_owned(), vec!["`structures.liver`", "a number has no quotes"]),
    ] {
        let message = with(structures, &cases);
        assert!(parts.iter().all(|part| message.contains(part)), "{parts:?}: {message}");
    }
    let other = read(r#"{"schema_version": 2, "cases": []}"#).expect_err("a mistake");
    assert!(other.starts_with("`schema_version`: expected 1, the version"), "{other}");
    for text in [
        "[]",
        "{\"liver\": [0]}",
        "{\"liver\": []}",
        "{\"1\": \"a\", \"2\": \"a\"}",
        "{\"x\": \"a\"}",
        "{\"liver\": 1.5}",
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("names.json");
        fs::write(&path, text).expect("written");
        let error = read_names(&path).expect_err("a mistake").to_string();
        assert!(error.contains("names.json: ") && error.contains("(line 1, column "), "{error}");
    }
}

#[test]
fn a_folder_without_truth_is_a_list_and_leftovers_are_no_cases() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = |name: &str| folder.path().join(name);
    for name in ["b.nii.gz", "a.nii", "._a.nii", ".hidden.nii.gz", ".DS_Store", "notes.txt"] {
        fs::write(here(name), "").expect("written");
    }
    let cases = read_folders(folder.path(), None).expect("a folder");
    let names: Vec<_> = cases.iter().map(|case| (case.name.as_str(), case.labels.is_none())).collect();
    assert_eq!(names, [("a", true), ("b", true)]);
    for name in ["a.nii", "b.nii.gz"] {
        fs::remove_file(here(name)).expect("removed");
    }
    let error = read_folders(folder.path(), None).expect_err("no scan").to_string();
    assert!(error.contains("at least one scan (.nii.gz, .nii,"), "{error}");
}

/// A folder with these files: empty, or with this text.
fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        fs::write(path, text).expect("written");
    }
    folder
}

fn data(files: &[(&str, &str)], options: &DataOptions<'_>) -> Result<Data, CaseListError> {
    let folder = tree(files);
    let mut data = read_data(folder.path(), options)?;
    // Paths without the folder, which is gone.
    let short = |path: &PathBuf| path.strip_prefix(folder.path()).unwrap_or(path).to_owned();
    for case in &mut data.cases {
        (case.image, case.labels) = (short(&case.image), case.labels.as_ref().map(short));
        let with_short = |structure: &Structure| Structure {
            files: structure.files.iter().map(short).collect(),
            ..structure.clone()
        };
        case.structures = case.structures.iter().map(with_short).collect();
    }
    Ok(data)
}

#[track_caller]
fn refused(files: &[(&str, &str)], options: &DataOptions<'_>, advice: Option<Advice>, parts: &[&str]) {
    let error = data(files, options).expect_err("a mistake");
    let message = error.to_string();
    assert!(parts.iter().all(|part| message.contains(part)), "{parts:?}: {message}");
    assert_eq!(error.advice, advice, "{message}");
}

/// `name: image, labels, structures` of each case.
fn shown(data: &Data) -> Vec<String> {
    let structure = |s: &Structure| match s.files.as_slice() {
        [] => format!("{}={:?}", s.name, s.labels()),
        files => format!("{}={}", s.name, files.iter().map(|f| f.display().to_string()).collect::<Vec<_>>().join("+")),
    };
    let case = |case: &Case| {
        let structures: Vec<String> = case.structures.iter().map(structure).collect();
        let labels = case.labels.as_ref().map_or_else(|| "-".to_owned(), |path| path.display().to_string());
        format!("{}: {}, {labels}, {}", case.name, case.image.display(), structures.join(" "))
    };
    data.cases.iter().map(case).collect()
}

#[test]
fn names_are_values_lists_of_values_or_the_other_way_round() {
    let read = |text: &str| -> Result<Vec<(String, u16, Vec<u16>)>, String> {
        let folder = tree(&[("names.json", text)]);
        let names = read_names(&folder.path().join("names.json")).map_err(|error| error.reason)?;
        Ok(names.iter().map(|s| (s.name.clone(), s.value, s.labels().to_vec())).collect())
    };
    let liver = |value: u16| ("liver".to_owned(), value, vec![value]);
    let lung = ("lung".to_owned(), 3, vec![3, 4]);
    for (text, expected) in [
        (r#"{"liver": 5, "lung": [4, 3, 4], "Background": 0}"#, vec![lung.clone(), liver(5)]),
        (r#"{"0": "background", "05": "liver"}"#, vec![liver(5)]),
        // 0 is the background whatever it is called.
        (r#"{"0": "liver", "1": "liver"}"#, vec![liver(1)]),
        // A structure that is called 1.
        (r#"{"1": 5}"#, vec![("1".to_owned(), 5, vec![5])]),
        (r#"{"name": "Dataset", "labels": {"background": 0, "liver": 1}, "numTraining": 3}"#, vec![liver(1)]),
        (r#"{"labels": 2}"#, vec![("labels".to_owned(), 2, vec![2])]),
    ] {
        assert_eq!(read(text), Ok(expected), "{text}");
    }
    for (text, parts) in [
        (r#"{"1": "liver", "2": "liver"}"#, ["{\"liver\": [1, 2]}", "`2`"]),
        (r#"{"1": "liver", "2": 3}"#, ["the name of every value", "the number 3"]),
        (r#"{"1": "liver", "spleen": 3}"#, ["`1`", "a whole number from 1 to 65535"]),
        (r#"{"70000": "liver"}"#, ["from 0 to 65535", "70000"]),
        (r#"{"1": " "}"#, ["a name", "\" \""]),
        (r#"{"liver": [1, 0]}"#, ["`liver[1]`", "the number 0"]),
        (r#"{"liver": []}"#, ["`liver`", "an empty list"]),
        (r#"{"liver": 0}"#, ["`liver`", "the number 0"]),
        (r#"{"liver": {"file": "a.nii"}}"#, ["a file belongs to one case", "`liver`"]),
        (r#"{"background": 0}"#, ["the value of every structure's name", "background"]),
        (r#"{"labels": {}}"#, ["`labels`", "without fields"]),
    ] {
        let error = read(text).expect_err(text);
        assert!(parts.iter().all(|part| error.contains(part)), "{parts:?}: {error}");
    }
}

#[test]
fn a_case_takes_a_convention_a_file_of_names_or_masks_of_its_own() {
    let folder = tree(&[
        ("btcv.json", r#"{"1": "spleen", "6": "liver"}"#),
        (
            "cases.json",
            r#"{"schema_version": 1, "structures": "btcv.json",
                "conventions": {"amos": {"liver": 6, "kidneys": [2, 3]}, "file": "btcv.json"},
                "cases": [
                    {"image": "a.nii", "labels": "al.nii"},
                    {"image": "b.nii", "labels": "bl.nii", "convention": "amos"},
                    {"image": "c.nii", "labels": "cl.nii", "structures": "btcv.json"},
                    {"image": "d.nii", "structures": {"liver": {"file": "m/liver.nii"}, "lung": {"file": ["1.nii", "2.nii"]}}},
                    {"image": "e.nii", "labels": "el.nii", "structures": {"liver": {"file": "liver.nii"}, "spleen": 4}}]}"#,
        ),
    ]);
    let cases = read_list(&folder.path().join("cases.json")).expect("a list");
    let names = |case: &Case| -> Vec<(String, Vec<u16>, usize, bool)> {
        case.structures.iter().map(|s| (s.name.clone(), s.labels().to_vec(), s.files.len(), s.promised)).collect()
    };
    let of = |name: &str, labels: &[u16], files, promised| (name.to_owned(), labels.to_vec(), files, promised);
    let btcv = [of("spleen", &[1], 0, false), of("liver", &[6], 0, false)];
    assert_eq!(names(&cases[0]), btcv);
    assert_eq!(names(&cases[1]), [of("kidneys", &[2, 3], 0, false), of("liver", &[6], 0, false)]);
    assert_eq!(names(&cases[2]), btcv);
    assert_eq!(names(&cases[3]), [of("liver", &[], 1, true), of("lung", &[], 2, true)]);
    assert_eq!(names(&cases[4]), [of("liver", &[], 1, true), of("spleen", &[4], 0, true)]);
    assert!(cases.iter().all(Case::has_truth) && cases[3].labels.is_none());
    assert!(cases[3].structures[0].files[0].ends_with("m/liver.nii"));
    assert_eq!(cases[4].files().count(), 3);

    let case = |top: &str, fields: &str| {
        read(&format!(r#"{{"schema_version": 1{top}, "cases": [{{"image": "a.nii", "labels": "b.nii"{fields}}}]}}"#))
            .expect_err("a mistake")
    };
    let conventions = r#", "conventions": {"amos": {"liver": 6}, "btcv": {"liver": 1}}"#;
    for (top, fields, parts) in [
        (conventions, r#", "convention": "Amos""#, ["case 1: `cases[0].convention`", "\"amos\", \"btcv\""]),
        ("", r#", "convention": "amos""#, ["none is listed", "\"amos\""]),
        (
            conventions,
            r#", "convention": "amos", "structures": {"liver": 1}"#,
            ["`structures` or `convention`", "both"],
        ),
        (conventions, "", ["case 1", "structures"]),
        (r#", "conventions": {"amos": {"liver": 0}}"#, "", ["`conventions.amos.liver`", "the number 0"]),
        (r#", "structures": "none.json""#, "", ["`structures`", "none.json"]),
        (r#", "structures": "..""#, "", ["`structures`", "which is no file"]),
        (r#", "structures": {"liver": {"file": "a.nii"}}"#, "", ["`structures.liver`", "belongs to one case"]),
        ("", r#", "structures": {"liver": {"file": []}}"#, ["structures.liver.file", "an empty list"]),
        ("", r#", "structures": {"liver": {"path": "a"}}"#, ["`path`", "`file`"]),
    ] {
        let message = case(top, fields);
        assert!(parts.iter().all(|part| message.contains(part)), "{parts:?}: {message}");
    }
    let without = read(
        r#"{"schema_version": 1, "cases": [
            {"image": "a.nii", "structures": {"liver": {"file": "b.nii"}, "spleen": 2}}]}"#,
    );
    let message = without.expect_err("a value without a label map");
    assert!(message.contains("`labels`") && message.contains("\"spleen\""), "{message}");
}

#[test]
fn scans_beside_their_label_maps() {
    let names = r#"{"liver": 1}"#;
    let found = data(
        &[
            ("a.nii.gz", ""),
            ("a_labels.nii.gz", ""),
            ("b.nii", ""),
            ("b_seg.nii.gz", ""),
            ("b_seg.json", r#"{"3": "spleen"}"#),
            ("alone.nii.gz", ""),
            ("map_label.nii", ""),
            ("labels.json", names),
            ("._a.nii.gz", ""),
            ("notes.txt", ""),
        ],
        &DataOptions::default(),
    )
    .expect("pairs");
    assert_eq!(
        shown(&found),
        [
            "a: a.nii.gz, a_labels.nii.gz, liver=[1]",
            "alone: alone.nii.gz, alone_labels.nii.gz, liver=[1]",
            "b: b.nii, b_seg.nii.gz, spleen=[3]",
            "map: map.nii.gz, map_label.nii, liver=[1]"
        ]
    );
    assert!(found.description.contains("4 scans") && found.description.ends_with("(pairs)"), "{}", found.description);
    let (scan, map) = (("a.nii", ""), ("a_labels.nii", ""));
    let none = DataOptions::default();
    refused(&[scan, map], &none, Some(Advice::Names), &["labels.json", "a_labels.json", "{\"liver\": 1}"]);
    refused(
        &[scan, map, ("a_seg.nii", ""), ("labels.json", names)],
        &none,
        Some(Advice::List),
        &["two label maps of the scan \"a\": a_labels.nii and a_seg.nii"],
    );
    refused(&[scan, ("a.nii.gz", ""), map], &none, None, &["two files with the same name: a.nii and a.nii.gz"]);
    refused(&[scan, ("labels.json", names)], &none, Some(Advice::List), &["pairs", "nnunet", "case-folders", "none"]);
    refused(&[], &DataOptions { layout: Some(Layout::Pairs), ..none }, Some(Advice::Layout), &["pairs", "found none"]);
    // Names that are asked for replace those of a label map.
    let chosen = tree(&[("names.json", r#"{"lung": [1, 2]}"#)]);
    let path = chosen.path().join("names.json");
    let options = DataOptions { names: Some(&path), ..DataOptions::default() };
    let found = data(&[scan, map, ("a_labels.json", names)], &options).expect("pairs");
    assert_eq!(shown(&found), ["a: a.nii, a_labels.nii, lung=[1, 2]"]);
}

#[test]
fn nnunet_in_both_versions_and_the_decathlon() {
    let v2 = r#"{"channel_names": {"0": "CT"}, "labels": {"background": 0, "liver": [1, 2], "tumour": 2},
        "numTraining": 2, "file_ending": ".nii.gz"}"#;
    let v1 = r#"{"modality": {"0": "CT"}, "labels": {"0": "background", "1": "liver"}, "training": []}"#;
    let none = DataOptions::default();
    let train = [("imagesTr/a_001_0000.nii.gz", ""), ("labelsTr/a_001.nii.gz", "")];
    let found = data(
        &[train[0], train[1], ("dataset.json", v2), ("imagesTr/alone_0000.nii.gz", ""), ("imagesTs/t_0000.nii.gz", "")],
        &none,
    )
    .expect("version 2");
    let structures = "liver=[1, 2] tumour=[2]";
    assert_eq!(
        shown(&found),
        [
            format!("a_001: imagesTr/a_001_0000.nii.gz, labelsTr/a_001.nii.gz, {structures}"),
            format!("alone: imagesTr/alone_0000.nii.gz, labelsTr/alone.nii.gz, {structures}")
        ]
    );
    let message = &found.warnings[0].message;
    assert!(message.contains("1 scan of imagesTs") && message.contains("no labelsTs"), "{message}");

    let decathlon = [("imagesTr/a_1.nii.gz", ""), ("labelsTr/a_1.nii.gz", ""), ("imagesTr/._a_1.nii.gz", "")];
    let found = data(&[decathlon[0], decathlon[1], decathlon[2], ("dataset.json", v1)], &none).expect("the Decathlon");
    assert_eq!(shown(&found), ["a_1: imagesTr/a_1.nii.gz, labelsTr/a_1.nii.gz, liver=[1]"]);

    let test = [("imagesTs/t_0000.nii.gz", ""), ("labelsTs/t.nii.gz", "")];
    let both = [train[0], train[1], test[0], test[1], ("dataset.json", v1)];
    refused(&both, &none, Some(Advice::Split), &["imagesTr", "imagesTs"]);
    let found = data(&both, &DataOptions { split: Some(Split::Test), ..DataOptions::default() }).expect("a split");
    assert_eq!(shown(&found), ["t: imagesTs/t_0000.nii.gz, labelsTs/t.nii.gz, liver=[1]"]);

    refused(&train, &none, Some(Advice::Names), &["dataset.json"]);
    refused(&[("imagesTr/a_0000.nii.gz", ""), ("dataset.json", v1)], &none, None, &["labelsTr", "missing"]);
    let with =
        |files: &[(&'static str, &'static str)]| [&[train[0], train[1], ("dataset.json", v1)][..], files].concat();
    refused(&with(&[("imagesTr/a_001_0001.nii.gz", "")]), &none, Some(Advice::List), &["a_001_0001.nii.gz", "_0000"]);
    refused(
        &with(&[("imagesTr/b.nii.gz", "")]),
        &none,
        Some(Advice::List),
        &["b.nii.gz do not", "a_001_0000.nii.gz do"],
    );
    let two = r#"{"channel_names": {"0": "CT", "1": "PET"}, "labels": {"liver": 1}}"#;
    refused(&[train[0], train[1], ("dataset.json", two)], &none, None, &["`channel_names`", "one channel", "`1`"]);
    let png = r#"{"file_ending": ".png", "labels": {"liver": 1}}"#;
    refused(&[train[0], train[1], ("dataset.json", png)], &none, None, &["`file_ending`", ".png"]);
    let ignore = r#"{"labels": {"background": 0, "liver": 1, "ignore": 2}}"#;
    let found = data(&[train[0], train[1], ("dataset.json", ignore)], &none).expect("an ignored label");
    assert!(shown(&found)[0].ends_with("liver=[1]") && found.warnings[0].message.contains("\"ignore\" (2)"));
    // Several layouts at once.
    let mixed = with(&[("x.nii", ""), ("x_labels.nii", "")]);
    refused(&mixed, &none, Some(Advice::Layout), &["pairs", "nnunet", "one layout"]);
    let options = DataOptions { layout: Some(Layout::NnUnet), ..DataOptions::default() };
    assert_eq!(data(&mixed, &options).expect("chosen").cases.len(), 1);
    let options = DataOptions { split: Some(Split::Test), ..DataOptions::default() };
    refused(&[("a.nii", ""), ("a_seg.nii", ""), ("labels.json", "{\"a\": 1}")], &options, None, &["no splits"]);
}

#[test]
fn a_folder_for_each_case_with_a_mask_for_each_structure() {
    let files = [
        ("s1/ct.nii.gz", ""),
        ("s1/combined.nii.gz", ""),
        ("s1/segmentations/kidney_left.nii.gz", ""),
        ("s1/segmentations/adrenal_gland_left.nii.gz", ""),
        ("s1/segmentations/._liver.nii.gz", ""),
        ("s2/scan.nii", ""),
        ("s2/segmentations/kidney_left.nii.gz", ""),
        ("s2/segmentations/kidney_right.nii.gz", ""),
        ("s3/ct.nii.gz", ""),
        ("meta.csv", ""),
    ];
    let trained = segvol::Names::new("a test", vec!["left kidney".into(), "adrenal gland left".into()]).expect("names");
    let options = DataOptions { trained: Some(&trained), ..DataOptions::default() };
    let found = data(&files, &options).expect("folders");
    assert_eq!(
        shown(&found),
        [
            "s1: s1/ct.nii.gz, -, adrenal gland left=s1/segmentations/adrenal_gland_left.nii.gz \
             left kidney=s1/segmentations/kidney_left.nii.gz",
            "s2: s2/scan.nii, -, kidney right=s2/segmentations/kidney_right.nii.gz \
             left kidney=s2/segmentations/kidney_left.nii.gz",
            // It fails when the folder is read.
            "s3: s3/ct.nii.gz, s3/segmentations, "
        ]
    );
    assert_eq!(found.renamed, BTreeMap::from([("kidney_left".to_owned(), "left kidney".to_owned())]));
    assert!(found.warnings[0].message.contains("s1/combined.nii.gz"), "{:?}", found.warnings);
    assert!(found.cases.iter().all(Case::has_truth));

    // Names choose masks, and masks of one name belong together.
    let folder = tree(&[
        ("names.json", r#"{"kidney_left": "kidneys", "kidney_right.nii.gz": "kidneys"}"#),
        ("wrong.json", r#"{"kidney_left": "kidneys", "kidny_right": "kidneys"}"#),
        ("values.json", r#"{"liver": 1}"#),
    ]);
    let with = |name: &str, files: &[(&str, &str)]| {
        let path = folder.path().join(name);
        data(files, &DataOptions { names: Some(&path), ..DataOptions::default() })
    };
    let found = with("names.json", &files[5..8]).expect("chosen");
    let expected =
        "s2: s2/scan.nii, -, kidneys=s2/segmentations/kidney_left.nii.gz+s2/segmentations/kidney_right.nii.gz";
    assert_eq!((shown(&found), found.renamed.len()), (vec![expected.to_owned()], 0));
    // A part that is missing makes the case fail, and is not left out.
    let found = with("names.json", &files).expect("chosen");
    assert!(shown(&found)[0].ends_with("+s1/segmentations/kidney_right.nii.gz"), "{:?}", shown(&found));
    let message = with("wrong.json", &files).expect_err("a misspelt file").to_string();
    assert!(message.contains("wrong.json") && message.contains("kidny_right"), "{message}");
    let message = with("values.json", &files).expect_err("values").to_string();
    assert!(message.contains("{\"kidney_left\": \"left kidney\"") && message.contains("the number 1"), "{message}");

    // The folder of one case.
    let one = [("ct.nii.gz", ""), ("segmentations/liver.nii.gz", "")];
    let found = data(&one, &DataOptions::default()).expect("one case");
    assert!(shown(&found)[0].contains(": ct.nii.gz, -, liver=segmentations/liver.nii.gz"), "{:?}", shown(&found));
    let two = [("s/a.nii", ""), ("s/b.nii", ""), ("s/segmentations/liver.nii.gz", "")];
    refused(&two, &DataOptions::default(), Some(Advice::List), &["expected one scan", "a.nii, b.nii"]);
    let dicom = format!("{}DICM", "\0".repeat(128));
    let series = [("s/ct/1", dicom.as_str()), ("s/ct/2", dicom.as_str()), ("s/segmentations/liver.nii.gz", "")];
    refused(&series, &DataOptions::default(), Some(Advice::List), &["ct.nii.gz", "found a DICOM series in ct"]);
    let same = [("s/ct.nii", ""), ("s/segmentations/a_b.nii", ""), ("s/segmentations/a__b.nii", "")];
    refused(&same, &DataOptions::default(), Some(Advice::Names), &["a__b.nii and a_b.nii are both called \"a b\""]);
}

#[test]
fn a_file_is_no_folder_of_cases() {
    let folder = tree(&[("cases.json", "{}")]);
    let error = read_data(&folder.path().join("cases.json"), &DataOptions::default()).expect_err("a file");
    assert!(error.reason.contains("found a file") && error.advice == Some(Advice::List), "{error}");
    let error = read_data(&folder.path().join("none"), &DataOptions::default()).expect_err("nothing");
    assert!(error.to_string().contains("none"), "{error}");
}

#[test]
fn a_folder_without_nifti_has_scans_of_other_formats() {
    let names = [("names.json", r#"{"liver": 1}"#)];
    let folder = tree(&[
        names[0],
        ("images/a.nrrd", ""),
        ("images/b.mha", ""),
        ("images/c.zip", ""),
        ("images/IM0001.dcm", ""),
        ("images/notes/readme.txt", ""),
        ("truth/a.seg.nrrd", ""),
        ("truth/b.dcm", ""),
        ("truth/c.nrrd", ""),
        ("mixed/a.nii.gz", ""),
        ("mixed/a.nrrd", ""),
        ("mixed/b.mha", ""),
    ]);
    let at = |name: &str| folder.path().join(name);
    let cases = read_folders(&at("images"), Some((&at("truth"), &at("names.json")))).expect("cases");
    let shown: Vec<String> = cases
        .iter()
        .map(|case| {
            let file = |path: &Path| path.strip_prefix(folder.path()).expect("inside").display().to_string();
            format!("{}: {} {}", case.name, file(&case.image), case.labels.as_deref().map(file).unwrap_or_default())
        })
        .collect();
    assert_eq!(
        shown,
        ["a: images/a.nrrd truth/a.seg.nrrd", "b: images/b.mha truth/b.dcm", "c: images/c.zip truth/c.nrrd"]
    );
    // Beside NIfTI, other files are what they have always been: not scans.
    let cases = read_folders(&at("mixed"), None).expect("cases");
    assert_eq!(cases.iter().map(|case| case.name.as_str()).collect::<Vec<_>>(), ["a"]);

    let pairs =
        tree(&[("labels.json", names[0].1), ("a.nrrd", ""), ("a.seg.nrrd", ""), ("b.nrrd", ""), ("b_seg.dcm", "")]);
    let found = read_data(pairs.path(), &DataOptions::default()).expect("pairs");
    assert_eq!(shown_cases(&found), ["a: a.nrrd a.seg.nrrd", "b: b.nrrd b_seg.dcm"]);
}

/// Name, scan and label map of each case.
fn shown_cases(data: &Data) -> Vec<String> {
    let file = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let case = |case: &Case| {
        format!("{}: {} {}", case.name, file(&case.image), case.labels.as_deref().map(file).unwrap_or_default())
    };
    data.cases.iter().map(case).collect()
}
