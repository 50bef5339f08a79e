use std::fs;
use std::path::PathBuf;

use super::*;

const LIMIT: usize = 8 << 20;

/// An array that the packer of the real client wrote: `fuzz/nnia_seeds.py`.
fn file(name: &str) -> Vec<u8> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/nnia");
    fs::read(folder.join(name)).unwrap()
}

fn files() -> Vec<Vec<u8>> {
    let names = [
        "image_int16",
        "image_int16_shuffled",
        "image_int16_lz4",
        "image_uint16",
        "image_int32",
        "image_uint32_noise",
        "image_float16",
        "image_float64",
        "zeros_float64",
        "sevens_int16",
        "ones_uint8",
        "voxel_uint8",
        "lasso_uint8",
        "lasso_bool",
    ];
    names.into_iter().map(file).collect()
}

/// Voxel [0, k, j, i] is 40 k + 3 j - 2 i + offset.
fn image(shape: &[usize], offset: f32) -> Vec<f32> {
    let mut values = Vec::new();
    for k in 0..shape[1] {
        for j in 0..shape[2] {
            for i in 0..shape[3] {
                values.push(40.0 * k as f32 + 3.0 * j as f32 - 2.0 * i as f32 + offset);
            }
        }
    }
    values
}

fn lasso() -> Vec<bool> {
    (0..30 * 40)
        .map(|at| {
            let (j, i) = (at / 40, at % 40);
            (5..20).contains(&j) && (7..30).contains(&i) && !((8..10).contains(&j) && (9..11).contains(&i))
        })
        .collect()
}

#[test]
fn decodes_images_of_the_real_client() {
    let images = [
        ("image_int16", Element::Int16, [1, 5, 20, 30], -500.0),
        ("image_int16_shuffled", Element::Int16, [1, 10, 60, 70], -500.0),
        ("image_int16_lz4", Element::Int16, [1, 5, 20, 30], -500.0),
        ("image_uint16", Element::UInt16, [1, 2, 9, 7], 1000.0),
        ("image_int8", Element::Int8, [1, 2, 9, 7], 0.0),
        ("image_uint8", Element::UInt8, [1, 2, 9, 7], 30.0),
        ("image_int32", Element::Int32, [1, 4, 10, 10], -70000.0),
        ("image_int64", Element::Int64, [1, 2, 9, 7], -500.0),
        ("image_uint64", Element::UInt64, [1, 2, 9, 7], 500.0),
        ("image_float16", Element::Float16, [1, 2, 9, 7], -500.0),
        ("image_float32", Element::Float32, [1, 4, 20, 20], -500.0),
        ("image_float64", Element::Float64, [1, 4, 10, 10], -500.0),
    ];
    for (name, element, shape, offset) in images {
        let array = decode(&file(name), LIMIT).unwrap();
        assert_eq!((array.element(), array.shape()), (element, &shape[..]), "{name}");
        let values = image(&shape, offset);
        assert!(array.to_f32() == values, "{name}");
        let positive: Vec<bool> = values.iter().map(|&value| value > 0.0).collect();
        assert!(array.positive() == positive, "{name}");
    }
}

#[test]
fn decodes_what_is_all_one_value_or_cannot_be_compressed() {
    let zeros = decode(&file("zeros_float64"), LIMIT).unwrap();
    assert_eq!((zeros.element(), zeros.shape()), (Element::Float64, &[1, 3, 50, 70][..]));
    assert!(zeros.to_f32().iter().all(|&value| value == 0.0));
    let sevens = decode(&file("sevens_int16"), LIMIT).unwrap();
    assert_eq!(sevens.to_f32(), vec![7.0; 300_000]);
    let ones = decode(&file("ones_uint8"), LIMIT).unwrap();
    assert_eq!(ones.bytes(), [1; 400]);
    let voxel = decode(&file("voxel_uint8"), LIMIT).unwrap();
    assert_eq!((voxel.shape(), voxel.bytes()), (&[1, 1, 1][..], &[1][..]));
    let noise = decode(&file("image_uint32_noise"), LIMIT).unwrap();
    let mut state = 1_u32;
    for value in noise.bytes().as_chunks().0 {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        assert_eq!(u32::from_le_bytes(*value), state);
    }
}

#[test]
fn decodes_masks_of_the_real_client() {
    for (name, element) in [("lasso_uint8", Element::UInt8), ("lasso_bool", Element::Bool)] {
        let array = decode(&file(name), LIMIT).unwrap();
        assert_eq!((array.element(), array.shape()), (element, &[1, 30, 40][..]));
        assert_eq!(array.positive(), lasso(), "{name}");
    }
}

#[test]
fn reads_what_it_writes() {
    let mut state = 7_u32;
    let mut noise = |length: usize| -> Vec<u8> {
        (0..length)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                state.to_be_bytes()[0]
            })
            .collect()
    };
    let mut mask = vec![0; 30 * 200 * 200];
    mask[500_000..700_000].fill(1);
    let arrays = [
        (Element::UInt8, vec![1, 1, 1], vec![1]),
        (Element::UInt8, vec![30, 200, 200], mask),
        (Element::UInt8, vec![700, 1000], noise(700_000)),
        (Element::Int16, vec![1, 50, 60, 70], noise(420_000)),
        (Element::Bool, vec![3, 4, 5], vec![0; 60]),
        (Element::Float64, vec![2, 2], noise(32)),
    ];
    for (element, shape, bytes) in arrays {
        let body = encode(element, &shape, &bytes);
        let array = decode(&body, bytes.len()).unwrap();
        assert_eq!((array.element(), array.shape(), array.bytes()), (element, &shape[..], &bytes[..]));
        assert!(body.len() <= bytes.len() + bytes.len() / 1000 + 128);
        if shape == [30, 200, 200] {
            assert!(body.len() * 200 < bytes.len(), "{} bytes", body.len());
        }
    }
}

/// Changes the header of a container.
fn changed(name: &str, change: impl Fn(&mut Vec<u8>)) -> Result<Array, ContainerError> {
    let mut bytes = file(name);
    change(&mut bytes);
    decode(&bytes, LIMIT)
}

// Offsets in a container of `uint8` with three axes.
const TYPE: usize = 8;
const SHAPE: usize = TYPE + 5;
const COUNT: usize = SHAPE + 24;
const DECODED: usize = COUNT + 4;
const LENGTH: usize = DECODED + 8;
const CHUNK: usize = LENGTH + 8;

#[test]
fn refuses_other_headers() {
    let refused = |change: fn(&mut Vec<u8>), error: ContainerError| {
        assert_eq!(changed("lasso_uint8", change), Err(error));
    };
    refused(Vec::clear, ContainerError::Magic);
    refused(|bytes| bytes[0] = b'n', ContainerError::Magic);
    refused(|bytes| bytes[4] = 2, ContainerError::Version(2));
    refused(|bytes| bytes[5] = 0, ContainerError::Codec(0));
    refused(|bytes| bytes[6] = 0, ContainerError::Axes(0));
    refused(|bytes| bytes[6] = 255, ContainerError::Axes(255));
    refused(|bytes| bytes[TYPE] = b'U', ContainerError::Element("Uint8".to_owned()));
    refused(|bytes| bytes[TYPE] = 0xff, ContainerError::Element("\u{fffd}int8".to_owned()));
    refused(|bytes| bytes[SHAPE..][..8].fill(0), ContainerError::Axis { axis: 0, length: 0 });
    refused(|bytes| bytes[SHAPE + 8..][..8].fill(0xff), ContainerError::Axis { axis: 1, length: -1 });
    refused(|bytes| bytes[SHAPE + 15] = 0x7f, ContainerError::TooLarge { limit: LIMIT });
    refused(|bytes| bytes[SHAPE] = 2, ContainerError::Sum { expected: 2400, found: 1200 });
    refused(|bytes| bytes[SHAPE + 8] = 29, ContainerError::Sum { expected: 1160, found: 1200 });
    refused(|bytes| bytes[COUNT] = 0, ContainerError::Sum { expected: 1200, found: 0 });
    refused(|bytes| bytes[COUNT..][..4].fill(0xff), ContainerError::Truncated("chunks"));
    refused(|bytes| bytes[DECODED] = 0xb1, ContainerError::ChunkLength { index: 0, said: 1201, found: 1200 });
    refused(|bytes| bytes[LENGTH + 7] = 0xff, ContainerError::Truncated("chunks"));
    refused(|bytes| bytes[LENGTH] -= 1, {
        let source = ChunkError::Length { said: 116, found: 115 };
        ContainerError::Chunk { index: 0, source }
    });
    refused(|bytes| bytes.push(0), ContainerError::Trailing(1));
}

#[test]
fn the_limit_is_the_size_of_the_decoded_array() {
    let lasso = file("lasso_uint8");
    assert!(decode(&lasso, 1200).is_ok());
    assert_eq!(decode(&lasso, 1199), Err(ContainerError::TooLarge { limit: 1199 }));
    let zeros = file("zeros_float64"); // 99 bytes for 84,000.
    assert_eq!(decode(&zeros, 83_999), Err(ContainerError::TooLarge { limit: 83_999 }));
}

#[test]
fn refuses_features_that_no_client_uses() {
    let chunk = |change: fn(&mut [u8])| match changed("lasso_uint8", |bytes| change(&mut bytes[CHUNK..])) {
        Err(ContainerError::Chunk { index: 0, source }) => source,
        other => panic!("{other:?}"),
    };
    assert_eq!(chunk(|chunk| chunk[2] &= 0xf0), ChunkError::Feature("the short header"));
    assert_eq!(chunk(|chunk| chunk[2] |= 8), ChunkError::Feature("the delta filter"));
    assert_eq!(chunk(|chunk| chunk[2] &= 0x1f), ChunkError::Feature("another codec than Zstandard and LZ4"));
    assert_eq!(chunk(|chunk| chunk[2] |= 2), ChunkError::Header("length"));
    assert_eq!(chunk(|chunk| chunk[3] = 0), ChunkError::Header("size of an item"));
    assert_eq!(chunk(|chunk| chunk[4..8].fill(0)), ChunkError::Header("length"));
    assert_eq!(chunk(|chunk| chunk[4..8].fill(0xff)), ChunkError::Header("length"));
    assert_eq!(chunk(|chunk| chunk[8..12].fill(0)), ChunkError::Header("length of a block"));
    assert_eq!(chunk(|chunk| chunk[9] = 0x7f), ChunkError::Header("length of a block"));
    assert_eq!(chunk(|chunk| chunk[16] = 2), ChunkError::Feature("another filter than shuffle"));
    assert_eq!(chunk(|chunk| chunk[16..18].fill(1)), ChunkError::Feature("another filter than shuffle"));
    assert_eq!(chunk(|chunk| chunk[30] = 1), ChunkError::Feature("blocks of different lengths"));
    let unusual = ChunkError::Feature("a dictionary, another byte order or a lazy chunk");
    assert_eq!(chunk(|chunk| chunk[31] = 1), unusual);
    assert_eq!(chunk(|chunk| chunk[31] = 0x20), ChunkError::Feature("chunks of NaNs or without values"));
    assert_eq!(chunk(|chunk| chunk[31] = 0x10), ChunkError::Header("length"));
    assert_eq!(chunk(|chunk| chunk[32..36].fill(0xff)), ChunkError::Outside(0));
    assert_eq!(chunk(|chunk| chunk[32] = 35), ChunkError::Outside(0));
    assert_eq!(chunk(|chunk| chunk[36] += 1), ChunkError::Outside(0));
    assert_eq!(chunk(|chunk| chunk[36] -= 1), ChunkError::Corrupt(0));
    assert_eq!(chunk(|chunk| chunk[40] ^= 1), ChunkError::Corrupt(0)); // The magic of Zstandard.
}

#[test]
fn refuses_every_incomplete_container() {
    for bytes in files() {
        for length in 0..bytes.len() {
            assert!(decode(&bytes[..length], LIMIT).is_err(), "{length} of {} bytes", bytes.len());
        }
    }
}

#[test]
fn mutated_containers_give_an_array_or_an_error() {
    let files = files();
    let mut state = 1_u64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % below
    };
    let mut arrays = 0;
    for round in 0..10_000 {
        let mut bytes = files[round % files.len()].clone();
        for _ in 0..1 + random(4) {
            let at = random(bytes.len());
            match random(6) {
                0 => bytes[at] = u8::try_from(random(256)).unwrap(),
                1 => bytes[at] ^= 1 << random(8),
                2 => bytes.truncate(at.max(2)),
                3 => {
                    // Most fields are in the first hundred bytes.
                    let at = at.min(random(100));
                    bytes[at] = [0, 1, 0x7f, 0x80, 0xff][random(5)];
                }
                4 => drop(bytes.remove(at.max(bytes.len().min(2) - 1))),
                _ => bytes.insert(at, 0),
            }
        }
        if let Ok(array) = decode(&bytes, LIMIT) {
            let length: usize = array.shape().iter().product();
            assert_eq!(array.bytes().len(), length * usize::from(array.element().size()));
            assert!(array.bytes().len() <= LIMIT);
            assert_eq!(array.to_f32().len(), length);
            arrays += 1;
        }
    }
    assert!((200..9_000).contains(&arrays), "{arrays}");
}
