//! Checkpoints that other programs and other ways of saving wrote: read right, or refused by what they are.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use safetensors::SafeTensors;
use segvol_converter::{Checkpoint, Options, convert};
use segvol_onnx::Precision;
use segvol_onnx::manifest::PrecisionFiles;
use segvol_tests::checkpoint::write_seeded;
use segvol_tests::golden::data;
use segvol_tests::{models, seeded};
use tempfile::TempDir;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// A folder with the micro model's `config.json`, tokenizer and `model.safetensors`.
fn home() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("a folder");
    let path = write_seeded(dir.path(), &models::micro(), &BTreeMap::new()).expect("written");
    (dir, path)
}

/// The files that a checkpoint converts to, with their hashes.
fn converted(path: &Path) -> Result<BTreeMap<Precision, PrecisionFiles>, String> {
    let bundle = tempfile::tempdir().expect("a folder");
    convert(path, &bundle.path().join("bundle"), &Options::default())
        .map(|conversion| conversion.manifest.precisions)
        .map_err(|error| error.to_string())
}

/// Why a file is refused.
fn refused(dir: &Path, name: &str, bytes: &[u8]) -> String {
    let path = dir.join(name);
    fs::write(&path, bytes).expect("written");
    let error = converted(&path).expect_err(name);
    fs::remove_file(&path).expect("removed");
    assert!(error.contains(name), "{error}");
    error
}

// Instructions of a pickle.

fn text(text: &str) -> Vec<u8> {
    [b"X", &(text.len() as u32).to_le_bytes()[..], text.as_bytes()].concat()
}

fn int(number: usize) -> Vec<u8> {
    [b"J", &(number as i32).to_le_bytes()[..]].concat()
}

fn tuple(items: &[Vec<u8>]) -> Vec<u8> {
    [b"(", &items.concat()[..], b"t"].concat()
}

fn global(module: &str, name: &str) -> Vec<u8> {
    format!("c{module}\n{name}\n").into_bytes()
}

fn call(function: &[u8], args: &[Vec<u8>]) -> Vec<u8> {
    [function, &tuple(args), b"R"].concat()
}

fn dictionary(items: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let items: Vec<u8> = items.iter().flat_map(|(key, value)| [text(key), value.clone()].concat()).collect();
    [b"}(", &items[..], b"u"].concat()
}

fn pickle(root: &[u8]) -> Vec<u8> {
    [b"\x80\x02", root, b"."].concat()
}

/// A file of `torch.save` with this pickle and these storages.
fn zipped(pickle: &[u8], storages: &[Vec<u8>], method: CompressionMethod) -> Vec<u8> {
    let mut archive = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(method);
    let mut add = |name: &str, bytes: &[u8]| {
        archive.start_file(name, options).expect("an entry");
        archive.write_all(bytes).expect("memory");
    };
    add("archive/data.pkl", pickle);
    for (i, bytes) in storages.iter().enumerate() {
        add(&format!("archive/data/{i}"), bytes);
    }
    archive.finish().expect("a zip").into_inner()
}

/// What a tensor of storage `key` is made of, row-major.
fn fields(key: usize, shape: &[usize]) -> Vec<Vec<u8>> {
    let count = shape.iter().product();
    let storage = [text("storage"), global("torch", "FloatStorage"), text(&key.to_string()), text("cpu"), int(count)];
    let strides = (0..shape.len()).map(|axis| int(shape[axis + 1..].iter().product())).collect::<Vec<_>>();
    let sizes: Vec<_> = shape.iter().map(|n| int(*n)).collect();
    let storage = [&tuple(&storage)[..], b"Q"].concat();
    vec![storage, int(0), tuple(&sizes), tuple(&strides), b"\x89".to_vec(), b"N".to_vec()]
}

fn tensor(key: usize, shape: &[usize]) -> Vec<u8> {
    call(&global("torch._utils", "_rebuild_tensor_v2"), &fields(key, shape))
}

/// The micro model's tensors: names, shapes and little-endian numbers.
fn micro(path: &Path) -> Vec<(String, Vec<usize>, Vec<u8>)> {
    let bytes = fs::read(path).expect("read");
    let tensors = SafeTensors::deserialize(&bytes).expect("safetensors");
    let of = |(name, tensor): (String, safetensors::tensor::TensorView<'_>)| {
        (name, tensor.shape().to_vec(), tensor.data().to_vec())
    };
    tensors.tensors().into_iter().map(of).collect()
}

/// The model as a dictionary in a pickle, and its storages.
fn torch_model(path: &Path) -> (Vec<u8>, Vec<Vec<u8>>) {
    let tensors = micro(path);
    let items: Vec<(&str, Vec<u8>)> =
        tensors.iter().enumerate().map(|(i, (name, shape, _))| (name.as_str(), tensor(i, shape))).collect();
    (dictionary(&items), tensors.iter().map(|(.., bytes)| bytes.clone()).collect())
}

#[test]
fn an_object_that_a_pickle_refers_to_twice_has_both_names() {
    let (dir, path) = home();
    let expected = converted(&path).expect("converted");
    let (model, storages) = torch_model(&path);
    // As Python writes it: the dictionary is put into the memo when it is still empty, under number 0.
    let first = [b"}q\0", &model[1..]].concat();
    let ordered = [&b"ccollections\nOrderedDict\n)Rq\0"[..], &model[1..], b"}X\x09\0\0\0_metadata}sb"].concat();
    let again = b"h\0".to_vec();
    let module = {
        // A module object whose only child is a module object that other names have too.
        let tables = |modules: Vec<u8>, parameters: Vec<u8>| {
            dictionary(&[("_parameters", parameters), ("_buffers", b"}".to_vec()), ("_modules", modules)])
        };
        let leaf = [&b"c__main__\nM\n)\x81q\0"[..], &tables(b"}".to_vec(), model.clone()), b"b"].concat();
        let root = tables(dictionary(&[("module", again.clone())]), b"}".to_vec());
        dictionary(&[("best", leaf), ("model", [&b"c__main__\nM\n)\x81"[..], &root, b"b"].concat())])
    };
    for (what, root) in [
        ("dictionary", dictionary(&[("callbacks", dictionary(&[("best", first.clone())])), ("model", again.clone())])),
        ("OrderedDict", dictionary(&[("callbacks", dictionary(&[("best", ordered)])), ("model", again.clone())])),
        ("list", dictionary(&[("callbacks", [b"]", &first[..], b"a"].concat()), ("model", again.clone())])),
        ("first name", dictionary(&[("model", first.clone()), ("callbacks", again.clone())])),
        ("module", module),
        // A cycle: the model's own dictionary has the whole file in it.
        ("cycle", [b"}q\x01(", &text("model")[..], &first[..], &text("callbacks"), b"]h\x01au"].concat()),
    ] {
        for method in [CompressionMethod::Stored, CompressionMethod::DEFLATE] {
            let file = dir.path().join("twice.pth");
            fs::write(&file, zipped(&pickle(&root), &storages, method)).expect("written");
            let found = converted(&file).unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!(found, expected, "{what}");
        }
    }
}

#[test]
fn far_more_names_than_objects_are_refused() {
    let (dir, _) = home();
    // Each list has the one before it twice: 2^40 names of one tensor.
    let mut root = tensor(0, &[1]);
    for i in 0..40 {
        root = [b"]", &root[..], b"q", &[i], b"ah", &[i], b"a"].concat();
    }
    let root = dictionary(&[("model", root)]);
    let error = refused(dir.path(), "bomb.pth", &zipped(&pickle(&root), &[vec![0; 4]], CompressionMethod::Stored));
    assert!(error.contains("refers to the same objects more than"), "{error}");
}

/// An array in one of the ways in which NumPy pickles it.
fn array(way: usize, shape: &[usize], numbers: &[u8]) -> Vec<u8> {
    let count = numbers.len() / 4;
    let four = |i: usize| <[u8; 4]>::try_from(&numbers[4 * i..4 * i + 4]).expect("four bytes");
    // The elements in column-major order: the first axis fastest.
    let column_major = || {
        let mut bytes = Vec::new();
        for mut i in 0..count {
            let (mut at, mut stride) = (0, count);
            for n in shape {
                stride /= n;
                at += i % n * stride;
                i /= n;
            }
            bytes.extend(four(at));
        }
        bytes
    };
    let (order, is_fortran, bytes) = match way % 4 {
        1 => ("<", b"\x88", column_major()),
        2 => (">", b"\x89", (0..count).flat_map(|i| four(i).into_iter().rev()).collect()),
        _ => ("<", b"\x89", numbers.to_vec()),
    };
    let package = if way.is_multiple_of(2) { "numpy.core" } else { "numpy._core" };
    let sizes = tuple(&shape.iter().map(|n| int(*n)).collect::<Vec<_>>());
    let dtype = [
        &call(&global("numpy", "dtype"), &[text("f4"), b"\x89".to_vec(), b"\x88".to_vec()])[..],
        &tuple(&[int(3), text(order), b"N".to_vec(), b"N".to_vec(), b"N".to_vec(), int(0), int(0), int(0)]),
        b"b",
    ]
    .concat();
    let raw = [b"B", &(bytes.len() as u32).to_le_bytes()[..], &bytes].concat();
    if way % 4 == 3 {
        let fields = [raw, dtype, sizes, text("C")];
        return call(&global(&format!("{package}.numeric"), "_frombuffer"), &fields);
    }
    let contents = if way % 8 < 4 {
        raw
    } else {
        let characters: String = bytes.iter().map(|byte| char::from(*byte)).collect();
        call(&global("_codecs", "encode"), &[text(&characters), text("latin1")])
    };
    let class = global("numpy", if way.is_multiple_of(3) { "memmap" } else { "ndarray" });
    let empty =
        call(&global(&format!("{package}.multiarray"), "_reconstruct"), &[class, tuple(&[int(0)]), b"C\x01b".to_vec()]);
    [&empty[..], &tuple(&[int(1), sizes, dtype, is_fortran.to_vec(), contents]), b"b"].concat()
}

#[test]
fn numpy_arrays_are_read_in_every_spelling() {
    let (dir, path) = home();
    let expected = converted(&path).expect("converted");
    let tensors = micro(&path);
    let model = |first: usize| {
        let arrays = tensors.iter().enumerate();
        let item = |(i, (name, shape, bytes)): (usize, &(String, Vec<usize>, Vec<u8>))| {
            (name.clone(), array(first + i, shape, bytes))
        };
        let items: Vec<(String, Vec<u8>)> = arrays.map(item).collect();
        let items: Vec<(&str, Vec<u8>)> = items.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
        dictionary(&items)
    };
    for first in 0..3 {
        let root = dictionary(&[("state", dictionary(&[("weights", model(first))]))]);
        for bytes in [
            pickle(&root),
            zipped(&pickle(&root), &[], CompressionMethod::Stored),
            zipped(&pickle(&root), &[], CompressionMethod::DEFLATE),
        ] {
            let file = dir.path().join("numpy.pth");
            fs::write(&file, bytes).expect("written");
            assert_eq!(converted(&file).expect("converted"), expected);
        }
    }
}

/// A tensor of a class whose numbers are in its state.
fn wrapped(class: &[u8]) -> Vec<u8> {
    let args = [class.to_vec(), global("torch", "float32"), tuple(&[int(1)]), tuple(&[int(1)])];
    let state = dictionary(&[("_local_tensor", tensor(0, &[1]))]);
    let fields = [global("torch._utils", "_rebuild_wrapper_subclass"), class.to_vec(), tuple(&args), state];
    call(&global("torch._tensor", "_rebuild_from_type_v2"), &fields)
}

#[test]
fn tensors_of_other_kinds_are_named_with_the_way_to_plain_ones() {
    let (dir, path) = home();
    let (model, storages) = torch_model(&path);
    let expected = converted(&path).expect("converted");
    let torch = |function: &str| call(&global("torch._utils", function), &[tensor(0, &[1])]);
    let quantised = global("torchao.dtypes", "AffineQuantizedTensor");
    let scaled = {
        let fields = [
            global("torch._utils", "_rebuild_tensor_v2"),
            quantised.clone(),
            tuple(&fields(0, &[1])),
            dictionary(&[("scale", tensor(0, &[1]))]),
        ];
        call(&global("torch._tensor", "_rebuild_from_type_v2"), &fields)
    };
    for (value, parts) in [
        (wrapped(&global("torch.distributed.tensor", "DTensor")), ["DTensors", "full_tensor()"]),
        (wrapped(&quantised), ["torchao.dtypes.AffineQuantizedTensor", "dequantize()"]),
        (scaled, ["torchao.dtypes.AffineQuantizedTensor", "dequantize()"]),
        (torch("_rebuild_sparse_tensor"), ["sparse tensors", "to_dense()"]),
        (torch("_rebuild_qtensor"), ["quantised tensors", "dequantize()"]),
        (torch("_rebuild_nested_tensor"), ["nested tensors", "plain tensors"]),
        (torch("_rebuild_meta_tensor_no_storage"), ["meta tensors", "load the model's weights"]),
        (call(&global("mine", "Special"), &[tensor(0, &[1])]), ["objects of `mine.Special`", "plain tensors"]),
        (array_of_objects(), ["NumPy arrays", "torch.from_numpy"]),
    ] {
        let key = "image_encoder.norm.weight";
        let full = [&model[..], &text(&format!("model.{key}")), &value[..], b"s"].concat();
        let error = refused(dir.path(), "foreign.pth", &zipped(&pickle(&full), &storages, CompressionMethod::Stored));
        for part in parts.into_iter().chain([key]) {
            assert!(error.contains(part), "expected {part:?} in: {error}");
        }
        // Beside the model it does no harm.
        let beside = dictionary(&[("net", model.clone()), ("criterion", value)]);
        let file = dir.path().join("beside.pth");
        fs::write(&file, zipped(&pickle(&beside), &storages, CompressionMethod::Stored)).expect("written");
        assert_eq!(converted(&file).expect("converted"), expected);
    }
}

fn array_of_objects() -> Vec<u8> {
    let dtype = call(&global("numpy", "dtype"), &[text("O8"), b"\x89".to_vec(), b"\x88".to_vec()]);
    let empty = call(&global("numpy.core.multiarray", "_reconstruct"), &[]);
    [&empty[..], &tuple(&[int(1), tuple(&[int(1)]), dtype, b"\x89".to_vec(), b"]".to_vec()]), b"b"].concat()
}

#[test]
fn the_name_of_a_file_does_not_matter() {
    let (dir, path) = home();
    let expected = converted(&path).expect("converted");
    let (model, storages) = torch_model(&path);
    let torch = zipped(&pickle(&model), &storages, CompressionMethod::Stored);
    for (name, bytes) in [("safetensors.pth", fs::read(&path).expect("read")), ("torch.safetensors", torch)] {
        let file = dir.path().join(name);
        fs::write(&file, bytes).expect("written");
        assert_eq!(converted(&file).expect("converted"), expected, "{name}");
    }
}

#[test]
fn packed_and_truncated_checkpoints_say_so() {
    let (dir, path) = home();
    let (model, storages) = torch_model(&path);
    let whole = zipped(&pickle(&model), &storages, CompressionMethod::Stored);
    let packed = |name: &str, bytes: &[u8]| {
        let mut archive = ZipWriter::new(std::io::Cursor::new(Vec::new()));
        archive
            .start_file(name, SimpleFileOptions::default().compression_method(CompressionMethod::Stored))
            .expect("an entry");
        archive.write_all(bytes).expect("memory");
        archive.finish().expect("a zip").into_inner()
    };
    let tarred = {
        let mut archive = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_ustar();
        header.set_size(whole.len() as u64);
        archive.append_data(&mut header, "run/SegVol.pth", &whole[..]).expect("memory");
        archive.into_inner().expect("memory")
    };
    let numbers: usize = storages.iter().map(Vec::len).sum();
    for (name, bytes, parts) in [
        ("packed.zip", packed("SegVol.pth", &whole), vec!["`SegVol.pth`", "unpack"]),
        ("packed.tar", tarred, vec!["`run/SegVol.pth`", "unpack"]),
        ("half.pth", whole[..whole.len() / 2].to_vec(), vec!["truncated", &(whole.len() / 2).to_string()]),
        ("graph.onnx", b"\x08\x0a\x12\x07pytorch\x1a".to_vec(), vec!["ONNX"]),
        ("segvol_mask_decoder.weights", vec![7; 4000], vec!["a bundle, which is converted already"]),
        ("noise.pth", (1..=255).rev().collect(), vec!["begins with the bytes ff fe"]),
    ] {
        let error = refused(dir.path(), name, &bytes);
        for part in parts {
            assert!(error.contains(part), "{name}: expected {part:?} in: {error}");
        }
    }
    let half = refused(dir.path(), "half.pth", &whole[..whole.len() / 2]);
    let promised = half.split_whitespace().filter_map(|word| word.parse::<usize>().ok()).max();
    assert!(promised.is_some_and(|promised| (numbers..whole.len()).contains(&promised)), "{half}");
}

/// Where another reader of such files reads the same file, it finds the same numbers.
#[test]
fn another_reader_finds_the_same_numbers() {
    let mut random = 0x5e67_0001_u64;
    let mut below = |n: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random >> 16) as usize % n.max(1)
    };
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("file.pth");
    let mut compared = 0;
    for name in ["github.pth", "legacy_format.pth", "strided_views.pth", "bf16.pth"] {
        let whole = fs::read(data("checkpoints").join(name)).expect("read");
        for damage in 0..20 {
            let mut bytes = whole.clone();
            if damage > 0 {
                let at = below(bytes.len());
                bytes[at] ^= 1 << below(8);
            }
            fs::write(&file, &bytes).expect("written");
            let Ok(Ok(other)) = catch_unwind(|| pytorch_reader::PytorchReader::new(&file)) else { continue };
            let Ok(ours) = Checkpoint::open(&file) else { continue };
            for (name, _) in ours.tensors() {
                let mut same = other.tensors().iter().filter(|(key, _)| key.ends_with(&format!(".{name}")));
                let (Some((_, tensor)), None) = (same.next(), same.next()) else { continue };
                if tensor.dtype() != pytorch_reader::DType::F32 {
                    continue;
                }
                let (Ok(expected), Ok(found)) = (tensor.read(), ours.read(name)) else { continue };
                assert!(found == expected, "{name}");
                compared += 1;
            }
        }
    }
    assert!(compared > 1000, "{compared}");
    // The numbers that the files were made with.
    let key = "image_encoder.norm.bias";
    let ours = Checkpoint::open(&data("checkpoints").join("legacy_format.pth")).expect("a checkpoint");
    let expected: Vec<u8> = seeded::elements(key, &[32]).take(32).flat_map(f32::to_le_bytes).collect();
    assert_eq!(ours.read(key).expect("read"), expected);
}

#[test]
fn a_tar_archive_of_the_first_pytorch_is_read() {
    let (dir, path) = home();
    let expected = converted(&path).expect("converted");
    let eight = |number: usize| (number as u64).to_le_bytes().to_vec();
    let tensors = micro(&path);
    let (mut storages, mut table) = (pickle(&int(tensors.len())), pickle(&int(tensors.len())));
    let mut items = Vec::new();
    for (i, (name, shape, bytes)) in tensors.iter().enumerate() {
        let key = text(&i.to_string());
        storages.extend(pickle(&tuple(&[key.clone(), text("cpu"), global("torch", "FloatStorage")])));
        storages.extend(eight(bytes.len() / 4));
        storages.extend(bytes);
        table.extend(pickle(&tuple(&[key.clone(), key.clone(), global("torch", "FloatTensor")])));
        table.extend(eight(shape.len()));
        table.extend(shape.iter().flat_map(|n| eight(*n)));
        table.extend((0..shape.len()).flat_map(|axis| eight(shape[axis + 1..].iter().product())));
        table.extend(eight(0));
        items.push((name.as_str(), [&key[..], b"Q"].concat()));
    }
    storages.extend(pickle(b"]"));
    let mut archive = tar::Builder::new(Vec::new());
    for (name, bytes) in [
        ("sys_info", pickle(&dictionary(&[("little_endian", b"\x88".to_vec())]))),
        ("pickle", pickle(&dictionary(&items))),
        ("tensors", table),
        ("storages", storages),
    ] {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        archive.append_data(&mut header, name, &bytes[..]).expect("memory");
    }
    let whole = archive.into_inner().expect("memory");
    let file = dir.path().join("first.pth");
    fs::write(&file, &whole).expect("written");
    assert_eq!(converted(&file).expect("converted"), expected);
    refused(dir.path(), "half.pth", &whole[..whole.len() / 2]);
}
