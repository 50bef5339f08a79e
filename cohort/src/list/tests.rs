use std::fs;

use segvol_base::ErrorKind;
use tempfile::TempDir;

use super::*;

/// A folder with empty files of these names.
fn folder(files: &[&str]) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for name in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        fs::write(path, "").expect("written");
    }
    folder
}

fn ids(scans: &[Scan]) -> Vec<(&str, bool)> {
    scans.iter().map(|scan| (scan.id.as_str(), scan.problem.is_none())).collect()
}

#[test]
fn a_folder_is_searched_to_the_bottom_but_not_its_outputs() {
    let files = [
        "b.nii.gz",
        "a/ct.NII",
        "a/deep/c.nrrd",
        "notes.txt",
        ".hidden/x.nii",
        "._b.nii.gz",
        "d.seg.nrrd",
        "out/b/liver.nii.gz",
    ];
    let folder = folder(&files);
    let found = scans(folder.path(), &folder.path().join("out"), Ids::Name).expect("scans");
    assert_eq!(ids(&found), [("b", true), ("c", true), ("ct", true)]);
    let found = scans(folder.path(), Path::new("elsewhere"), Ids::Path).expect("scans");
    assert_eq!(ids(&found), [("a/ct", true), ("a/deep/c", true), ("b", true), ("out/b/liver", true)]);
    let found = scans(&folder.path().join("b.nii.gz"), Path::new("elsewhere"), Ids::Name).expect("one scan");
    assert_eq!(ids(&found), [("b", true)]);
}

#[cfg(unix)]
#[test]
fn links_are_followed_and_each_folder_is_searched_once() {
    use std::os::unix::fs::symlink;
    let (folder, elsewhere) = (folder(&["a/ct.nii"]), folder(&["far.nii"]));
    symlink("..", folder.path().join("a/up")).expect("a link");
    symlink(folder.path().join("a"), folder.path().join("again")).expect("a link");
    symlink(elsewhere.path(), folder.path().join("other")).expect("a link");
    let found = scans(folder.path(), Path::new("elsewhere"), Ids::Name).expect("scans");
    assert_eq!(ids(&found), [("ct", true), ("far", true)]);
}

#[test]
fn a_folder_that_cannot_be_searched_is_a_problem_and_the_others_are_found() {
    let deep = format!("{}/ct.nii", "d/".repeat(40));
    let folder = folder(&["a.nii", "z/b.nii", &deep]);
    let found = scans(folder.path(), Path::new("elsewhere"), Ids::Name).expect("scans");
    assert_eq!(ids(&found), [("a", true), ("b", true), ("d", false)]);
    assert!(found[2].problem.as_ref().is_some_and(|problem| problem.contains("cannot be searched")), "{found:?}");
}

#[test]
fn a_header_counts_with_its_voxels_and_not_twice() {
    let folder = folder(&["a.mha"]);
    let header =
        "ObjectType = Image\nNDims = 3\nDimSize = 2 2 2\nElementType = MET_SHORT\nElementDataFile = voxels.nrrd\n";
    fs::write(folder.path().join("b.mhd"), header).expect("written");
    fs::write(folder.path().join("voxels.nrrd"), [0; 16]).expect("written");
    let found = scans(folder.path(), Path::new("elsewhere"), Ids::Name).expect("scans");
    assert_eq!(ids(&found), [("a", true), ("b", true)]);
}

#[test]
fn a_pattern_takes_what_it_matches() {
    let folder = folder(&["s1/ct.nii.gz", "s2/ct.nii.gz", "s2/mask.nii.gz", "s3/ct.nrrd"]);
    let pattern = folder.path().join("s*/ct.nii.gz");
    let found = scans(&pattern, Path::new("elsewhere"), Ids::Path).expect("scans");
    assert_eq!(ids(&found), [("s1/ct", true), ("s2/ct", true)]);
    // The same name twice: nobody could tell whose the masks are.
    let found = scans(&pattern, Path::new("elsewhere"), Ids::Name).expect("scans");
    assert_eq!(ids(&found), [("ct", false), ("ct", false)]);
    assert!(found[0].problem.as_ref().is_some_and(|problem| problem.contains("2 scans")), "{found:?}");
    for (images, part) in [("x*/ct.nii.gz", "no scan"), ("nowhere", "No such file"), ("s[/ct.nii", "pattern")] {
        let error = scans(&folder.path().join(images), Path::new("elsewhere"), Ids::Name).expect_err(images);
        assert!(error.to_string().contains(part), "{images}: {error}");
        assert_eq!(error.kind(), ErrorKind::Input);
    }
}

#[test]
fn a_list_has_ids_prompts_and_series_and_names_its_mistakes() {
    let folder = folder(&[]);
    let list = folder.path().join("scans.jsonl");
    let read = |text: &str| {
        fs::write(&list, text).expect("written");
        scans(&list, Path::new("elsewhere"), Ids::Name)
    };
    fs::write(folder.path().join("objects.json"), r#"{"schema_version": 1, "objects": [{"text": "spleen"}]}"#)
        .expect("written");
    let found = read(concat!(
        "{\"path\": \"z/b.nii.gz\"}\n\n",
        "{\"path\": \"/data/c\", \"id\": \"p/1\", \"series\": \"1.2\", \"prompts\": [{\"text\": \"liver\"}]}\r\n",
        "{\"path\": \"d.nii\", \"prompts\": {\"space\": \"ras\", \"objects\": [{\"points\": [[1, 2, 3]]}]}}\n",
        "{\"path\": \"e.nii\", \"prompts\": \"objects.json\"}",
    ))
    .expect("a list");
    assert_eq!(ids(&found), [("b", true), ("d", true), ("e", true), ("p/1", true)]);
    assert_eq!(found[0].path, folder.path().join("z/b.nii.gz"));
    assert_eq!((found[3].own.series.as_deref(), &*found[3].path), (Some("1.2"), Path::new("/data/c")));
    let prompts = |scan: &Scan| scan.own.prompts.clone().expect("prompts");
    assert_eq!(prompts(&found[2])[0].as_text(), Some("spleen"));
    assert_eq!(prompts(&found[1])[0].space, segvol::Space::Ras);
    for (text, parts) in [
        ("", &["expected a scan on each line"][..]),
        ("{\"path\": \"a.nii\"}\n{\"path\": 3}", &["line 2", "a path"]),
        ("{\"pth\": \"a.nii\"}", &["line 1", "did you mean `path`"]),
        ("{\"id\": \"a\"}", &["`path`"]),
        ("{\"path\": \"a.nii\", \"prompts\": []}", &["at least one object"]),
        ("{\"path\": \"a.nii\", \"prompts\": \"nowhere.json\"}", &["line 1", "nowhere.json"]),
        ("a.nii", &["line 1", "JSON"]),
        ("\u{1f}\u{8b}", &["JSON"]),
    ] {
        let error = read(text).expect_err(text).to_string();
        assert!(parts.iter().all(|part| error.contains(part)), "{text}: {error}");
    }
}

#[test]
fn an_id_that_cannot_name_files_is_a_problem_of_its_scan_alone() {
    let folder = folder(&[]);
    let list = folder.path().join("scans.jsonl");
    let bad = ["", "..", "../a", "/a", "a//b", "a/../b", ".a", "-a", "a\\b", "a\nb", "a:b", "a ", "a/"];
    let lines: Vec<String> = bad
        .iter()
        .chain(&["good", "also good/1"])
        .map(|id| serde_json::json!({"path": "a.nii", "id": id}).to_string())
        .collect();
    fs::write(&list, lines.join("\n")).expect("written");
    let found = scans(&list, Path::new("elsewhere"), Ids::Name).expect("a list");
    let good: Vec<&str> = ids(&found).into_iter().filter_map(|(id, is_good)| is_good.then_some(id)).collect();
    assert_eq!(good, ["also good/1", "good"]);
    // Names that are one on some disks.
    fs::write(&list, "{\"path\": \"a.nii\", \"id\": \"A\"}\n{\"path\": \"b.nii\", \"id\": \"a\"}").expect("written");
    let found = scans(&list, Path::new("elsewhere"), Ids::Name).expect("a list");
    assert_eq!(ids(&found), [("A", false), ("a", false)]);
}

#[test]
fn shards_are_disjoint_and_complete_and_do_not_depend_on_the_list() {
    let shards: Vec<Shard> = (0..3).map(|index| format!("{index}/3").parse().expect("a shard")).collect();
    let mut counts = [0; 3];
    for number in 0..300 {
        let id = format!("scan {number}");
        let having: Vec<usize> = (0..3).filter(|&index| shards[index].has(&id)).collect();
        assert_eq!(having.len(), 1, "{id}");
        counts[having[0]] += 1;
    }
    assert!(counts.iter().all(|&count| count > 60), "{counts:?}");
    // SHA-256 of `a` begins with ca978112ca1bbdca.
    assert!("2/3".parse::<Shard>().is_ok_and(|shard| shard.has("a") == (0xca97_8112_ca1b_bdca_u64 % 3 == 2)));
    for text in ["3/3", "-1/3", "1", "a/b", "0/0", ""] {
        assert!(text.parse::<Shard>().is_err(), "{text}");
    }
}
