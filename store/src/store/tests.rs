use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use super::*;
use crate::digest;

const MANY: usize = 1 << 20;

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

fn group(name: &str) -> [u8; 32] {
    digest(&[name.as_bytes()])
}

fn key(item: &str) -> Key {
    Key::new(group("a scan"), item)
}

/// Bytes that no two items have in common.
fn value(item: &str, bytes: usize) -> Vec<u8> {
    digest(&[item.as_bytes()]).into_iter().cycle().take(bytes).collect()
}

fn codes(store: &Store) -> Vec<WarningCode> {
    store.warnings().iter().map(|warning| warning.code).collect()
}

/// Sets when a file was last used, in seconds before now.
fn age(path: &Path, seconds: u64) {
    let file = File::options().write(true).open(path).expect("a file");
    file.set_modified(SystemTime::now() - Duration::from_secs(seconds)).expect("set");
}

#[test]
fn another_store_finds_what_one_has_written() {
    let folder = folder();
    let dir = folder.path().join("deep/embeddings");
    let written = Store::new(&dir, 1 << 20);
    assert!(!dir.exists(), "the folder is made when something is written");
    assert!(
        !written.has(&key("a")) && written.get(&key("a"), MANY).is_none() && written.items(&group("a scan")).is_empty()
    );
    for item in ["b", "out", "a"] {
        written.put(&key(item), &value(item, 1000));
    }
    written.put(&Key::new(group("another scan"), "c"), b"other");
    let store = Store::new(&dir, 1 << 20);
    assert_eq!(store.items(&group("a scan")), ["a", "b", "out"]);
    for item in ["a", "b", "out"] {
        assert!(store.has(&key(item)));
        assert_eq!(store.get(&key(item), 1000), Some(value(item, 1000)));
    }
    assert_eq!(store.get(&Key::new(group("another scan"), "a"), MANY), None);
    store.put(&key("empty"), b"");
    assert_eq!(store.get(&key("empty"), 0), Some(Vec::new()));
    assert_eq!((store.warnings(), written.warnings()), (vec![], vec![]));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!((mode(&dir), mode(&store.path(&key("a")))), (0o700, 0o600));
    }
}

/// Every byte of a file, every length, and bytes after the end.
#[test]
fn no_damaged_file_is_used_and_every_one_is_replaced() {
    let folder = folder();
    let (key, value) = (key("in_0_1"), value("in_0_1", 40));
    Store::new(folder.path(), 1 << 20).put(&key, &value);
    let path = Store::new(folder.path(), 1 << 20).path(&key);
    let whole = fs::read(&path).expect("read");
    let mut cases: Vec<(String, Vec<u8>)> = (0..whole.len())
        .map(|at| {
            let mut flipped = whole.clone();
            flipped[at] ^= 1 << (at % 8);
            (format!("byte {at}"), flipped)
        })
        .collect();
    cases.extend((0..whole.len()).map(|length| (format!("{length} bytes"), whole[..length].to_vec())));
    cases.push(("a byte more".to_owned(), [&whole[..], b"x"].concat()));
    cases.push(("zeros, as after a crash".to_owned(), vec![0; whole.len()]));
    // The lengths of the value and of the item, which nothing may be allocated for.
    for (at, bytes) in [(16, 8), (12, 4)] {
        let mut vast = whole.clone();
        vast[at..at + bytes].fill(0xff);
        cases.push((format!("a vast length at {at}"), vast));
    }
    for (what, bytes) in cases {
        fs::write(&path, &bytes).expect("written");
        let store = Store::new(folder.path(), 1 << 20);
        assert_eq!(store.get(&key, MANY), None, "{what}");
        assert_eq!(codes(&store), [WarningCode::EmbeddingsDamaged], "{what}");
        store.put(&key, &value);
        let foreign = bytes.len() >= 8 && !bytes.starts_with(b"SGVSTORE") && bytes[..8] != [0; 8];
        if foreign {
            assert_eq!(fs::read(&path).expect("read"), bytes, "{what}: the file may be somebody else's");
            fs::remove_file(&path).expect("removed");
        } else {
            assert_eq!(store.get(&key, MANY), Some(value.clone()), "{what}");
        }
    }
}

#[test]
fn a_value_under_another_name_or_longer_than_expected_is_not_used() {
    let folder = folder();
    let store = Store::new(folder.path(), 1 << 20);
    store.put(&key("a"), &value("a", 100));
    fs::copy(store.path(&key("a")), store.path(&key("b"))).expect("copied");
    // The first half of the group is the name's.
    let mut half = group("a scan");
    half[31] ^= 1;
    assert_eq!(store.path(&Key::new(half, "a")), store.path(&key("a")));
    assert_eq!(store.get(&key("b"), MANY), None);
    assert_eq!(store.get(&Key::new(half, "a"), MANY), None);
    store.put(&key("a"), &value("a", 100));
    assert_eq!(store.get(&key("a"), 99), None, "too long");
    let [warning] = &store.warnings()[..] else { panic!("{:?}", store.warnings()) };
    assert!(warning.message.contains("3 files were not used") && warning.message.contains("another one"), "{warning}");
}

#[test]
fn the_least_recently_used_go_first_and_the_limit_is_kept() {
    let folder = folder();
    let one = record::length(&key("a"), &value("a", 1000));
    let store = Store::new(folder.path(), 3 * one);
    for (item, seconds) in [("a", 400), ("b", 300), ("c", 200)] {
        store.put(&key(item), &value(item, 1000));
        age(&store.path(&key(item)), seconds);
    }
    assert!(store.get(&key("a"), MANY).is_some(), "so `b` is the oldest");
    store.put(&key("d"), &value("d", 1000));
    assert_eq!(store.items(&group("a scan")), ["a", "c", "d"]);
    // Another process has a smaller limit.
    let smaller = Store::new(folder.path(), 2 * one);
    smaller.put(&key("e"), &value("e", 1000));
    let items = smaller.items(&group("a scan"));
    assert!(items.len() == 2 && items.contains(&"e".to_owned()), "{items:?}");
    // What other processes write is counted at the latest after some files.
    let (own, other) = (Store::new(folder.path(), 40 * one), Store::new(folder.path(), 1000 * one));
    for number in 0..3 * RECOUNT {
        other.put(&key(&format!("other{number:02}")), &value("a", 996));
        own.put(&key(&format!("{number:06}")), &value("a", 995));
        let count = own.items(&group("a scan")).len();
        assert!(count <= 40 + RECOUNT, "{count} files after {number}");
    }
    assert_eq!((own.warnings(), other.warnings()), (vec![], vec![]));

    let tiny = Store::new(folder.path(), one - 1);
    tiny.put(&key("f"), &value("f", 1000));
    assert_eq!(codes(&tiny), [WarningCode::EmbeddingsNotStored]);
    assert!(tiny.get(&key("f"), MANY).is_none());
}

#[cfg(unix)]
#[test]
fn nothing_of_others_is_read_changed_or_deleted() {
    let (folder, elsewhere) = (folder(), folder());
    let at = |name: &str| folder.path().join(name);
    // Enough for one file, whatever its name.
    let store = Store::new(folder.path(), record::length(&key("nowhere"), &value("nowhere", 1000)));
    // Other names; a name of ours with other contents; links with our names to one of our files, and to nowhere; a folder.
    for name in ["ct.nii.gz", "a.segvol", ".segvol-abc.part", "notes"] {
        fs::write(at(name), "other").expect("written");
    }
    fs::write(store.path(&key("foreign")), "a file of somebody else's").expect("written");
    let outside = Store::new(elsewhere.path(), 1 << 20);
    outside.put(&key("linked"), &value("linked", 1000));
    let target = outside.path(&key("linked"));
    std::os::unix::fs::symlink(&target, store.path(&key("linked"))).expect("linked");
    std::os::unix::fs::symlink(elsewhere.path().join("new"), store.path(&key("nowhere"))).expect("linked");
    fs::create_dir(store.path(&key("folder"))).expect("made");
    let mine = |name: &str| !name.starts_with(&key("a").file_name()[..33]) || name.contains("foreign");
    let others = || -> BTreeSet<String> {
        let names = fs::read_dir(folder.path()).expect("listed").map(|entry| entry.expect("an entry").file_name());
        names.map(|name| name.into_string().expect("UTF-8")).filter(|name| mine(name)).collect()
    };
    for name in others() {
        age(&at(&name), 10_000);
    }
    let before = others();
    for item in ["foreign", "linked", "nowhere", "folder"] {
        assert_eq!(store.get(&key(item), MANY), None, "{item}");
        store.put(&key(item), &value(item, 1000));
        assert_eq!(store.get(&key(item), MANY), None, "{item}");
    }
    for item in ["a", "b", "c"] {
        store.put(&key(item), &value(item, 1000));
    }
    assert_eq!(store.items(&group("a scan")), ["c", "foreign"], "only own files make room");
    assert_eq!(others(), before);
    assert_eq!(fs::read(store.path(&key("foreign"))).expect("read"), b"a file of somebody else's");
    assert!(outside.get(&key("linked"), MANY).is_some(), "the target of a link is untouched");
    assert!(!elsewhere.path().join("new").exists());
    assert_eq!(codes(&store), [WarningCode::EmbeddingsDamaged]);
}

#[test]
fn what_a_killed_process_left_is_deleted_after_an_hour() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    for name in [".segvol-store-old.part", ".segvol-store-new.part", ".segvol-other.part"] {
        fs::write(at(name), "half").expect("written");
        age(&at(name), if name.contains("new") { 60 } else { 4000 });
    }
    Store::new(folder.path(), 1 << 20).put(&key("a"), b"value");
    assert!(!at(".segvol-store-old.part").exists());
    assert!(at(".segvol-store-new.part").exists() && at(".segvol-other.part").exists());
}

#[test]
fn threads_and_stores_share_a_folder_that_vanishes_now_and_then() {
    let folder = folder();
    let dir = folder.path().join("embeddings");
    let one = record::length(&key("00"), &value("00", 5000));
    std::thread::scope(|scope| {
        for thread in 0..4_usize {
            let dir = &dir;
            scope.spawn(move || {
                for round in 0..60_usize {
                    let store = Store::new(dir, 6 * one);
                    let item = format!("{:02}", (round * 7 + thread) % 10);
                    // Whatever the others do: the value, or nothing.
                    if let Some(found) = store.get(&key(&item), MANY) {
                        assert!(found == value(&item, 5000), "{item}");
                    } else {
                        store.put(&key(&item), &value(&item, 5000));
                    }
                    assert!(!codes(&store).contains(&WarningCode::EmbeddingsDamaged), "{:?}", store.warnings());
                    if thread == 0 && round % 20 == 19 {
                        let _ = fs::remove_dir_all(dir);
                    }
                }
            });
        }
    });
    let store = Store::new(&dir, 6 * one);
    store.put(&key("last"), &value("last", 5000));
    assert!(store.items(&group("a scan")).len() <= 6);
    let unfinished = fs::read_dir(&dir)
        .expect("listed")
        .filter(|entry| entry.as_ref().is_ok_and(|entry| entry.file_name().to_string_lossy().starts_with(UNFINISHED)));
    assert_eq!(unfinished.count(), 0);
}

/// A folder that cannot be one, and one where nothing may be written. Root may write everywhere, so only what cannot be a folder is
/// refused to it.
#[test]
fn a_folder_that_takes_no_files_is_one_warning() {
    let folder = folder();
    fs::write(folder.path().join("file"), "other").expect("written");
    let store = Store::new(&folder.path().join("file/embeddings"), 1 << 20);
    for item in ["a", "b", "c"] {
        assert_eq!(store.get(&key(item), MANY), None);
        store.put(&key(item), b"value");
    }
    store.put_failed("another reason");
    let [warning] = &store.warnings()[..] else { panic!("{:?}", store.warnings()) };
    assert_eq!(warning.code, WarningCode::EmbeddingsNotStored);
    assert!(warning.message.contains("4 not stored: ") && !warning.message.contains("another"), "{warning}");
    assert_eq!(fs::read(folder.path().join("file")).expect("read"), b"other");

    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = folder.path().join("closed");
        Store::new(&dir, 1 << 20).put(&key("a"), b"value");
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o500)).expect("set");
        let allowed = File::create(dir.join("probe")).is_ok();
        let store = Store::new(&dir, 1 << 20);
        assert_eq!(store.get(&key("a"), MANY), Some(b"value".to_vec()), "it can still be read");
        assert_eq!(store.warnings(), vec![]);
        store.put(&key("b"), b"value");
        assert_eq!(codes(&store).is_empty(), allowed);
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o700)).expect("set");
    }
}
