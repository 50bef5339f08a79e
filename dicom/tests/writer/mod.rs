//! Writes small DICOM files, right ones and wrong ones, without the library that reads them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use flate2::Compression;
use flate2::write::DeflateEncoder;

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Syntax {
    ImplicitLittle,
    ExplicitLittle,
    ExplicitBig,
    Deflated,
}

impl Syntax {
    fn uid(self) -> &'static str {
        match self {
            Self::ImplicitLittle => "1.2.840.10008.1.2",
            Self::ExplicitLittle => "1.2.840.10008.1.2.1",
            Self::ExplicitBig => "1.2.840.10008.1.2.2",
            Self::Deflated => "1.2.840.10008.1.2.1.99",
        }
    }
}

/// A value.
#[derive(Debug, Clone)]
pub enum Value {
    Bytes(Vec<u8>),
    /// Numbers of 16 bits.
    Words(Vec<u16>),
    Items(Vec<Set>),
}

/// A data set: elements by tag, with their types.
#[derive(Debug, Clone, Default)]
pub struct Set(pub BTreeMap<(u16, u16), ([u8; 2], Value)>);

impl Set {
    /// Sets an element to a text.
    pub fn text(mut self, tag: (u16, u16), vr: &[u8; 2], text: impl AsRef<[u8]>) -> Self {
        let mut bytes = text.as_ref().to_vec();
        if bytes.len() % 2 == 1 {
            bytes.push(if vr == b"UI" { 0 } else { b' ' });
        }
        self.0.insert(tag, (*vr, Value::Bytes(bytes)));
        self
    }

    /// Sets an element to decimal numbers.
    pub fn numbers(self, tag: (u16, u16), numbers: &[f64]) -> Self {
        let texts: Vec<String> = numbers.iter().map(f64::to_string).collect();
        self.text(tag, b"DS", texts.join("\\"))
    }

    /// Sets an element to a number of 16 bits.
    pub fn word(mut self, tag: (u16, u16), word: u16) -> Self {
        self.0.insert(tag, (*b"US", Value::Words(vec![word])));
        self
    }

    /// Sets an element to a sequence.
    pub fn items(mut self, tag: (u16, u16), items: Vec<Self>) -> Self {
        self.0.insert(tag, (*b"SQ", Value::Items(items)));
        self
    }

    /// Sets the pixels.
    pub fn pixels(mut self, stored: &[u16]) -> Self {
        self.0.insert(PIXELS, (*b"OW", Value::Words(stored.to_vec())));
        self
    }

    /// Removes an element.
    pub fn without(mut self, tag: (u16, u16)) -> Self {
        self.0.remove(&tag);
        self
    }

    /// The bytes of the elements.
    pub fn encode(&self, syntax: Syntax) -> Vec<u8> {
        let big = syntax == Syntax::ExplicitBig;
        let u16 = |n: u16| if big { n.to_be_bytes() } else { n.to_le_bytes() };
        let u32 = |n: u32| if big { n.to_be_bytes() } else { n.to_le_bytes() };
        let mut bytes = Vec::new();
        for ((group, element), (vr, value)) in &self.0 {
            let value = match value {
                Value::Bytes(bytes) => bytes.clone(),
                Value::Words(words) => words.iter().flat_map(|word| u16(*word)).collect(),
                Value::Items(items) => items
                    .iter()
                    .flat_map(|item| {
                        let item = item.encode(syntax);
                        [&u16(0xfffe)[..], &u16(0xe000), &u32(item.len() as u32), &item].concat()
                    })
                    .collect(),
            };
            bytes.extend(u16(*group));
            bytes.extend(u16(*element));
            if syntax == Syntax::ImplicitLittle {
                bytes.extend(u32(value.len() as u32));
            } else {
                bytes.extend(vr);
                if [b"OB", b"OW", b"SQ", b"UN", b"UT"].contains(&vr) {
                    bytes.extend([0, 0]);
                    bytes.extend(u32(value.len() as u32));
                } else {
                    bytes.extend(u16(value.len() as u16));
                }
            }
            bytes.extend(value);
        }
        bytes
    }

    /// A file with preamble and group 2.
    pub fn file(&self, syntax: Syntax) -> Vec<u8> {
        let meta = Self::default().text((2, 1), b"OB", [0, 1]).text((2, 2), b"UI", "1.2.840.10008.5.1.4.1.1.2").text(
            (2, 0x10),
            b"UI",
            syntax.uid(),
        );
        let length = meta.encode(Syntax::ExplicitLittle).len() as u32;
        let meta = meta.text((2, 0), b"UL", length.to_le_bytes());
        let mut bytes = vec![0; 128];
        bytes.extend(b"DICM");
        bytes.extend(meta.encode(Syntax::ExplicitLittle));
        bytes.extend(self.body(syntax));
        bytes
    }

    /// What comes after group 2.
    pub fn body(&self, syntax: Syntax) -> Vec<u8> {
        let body = self.encode(syntax);
        if syntax != Syntax::Deflated {
            return body;
        }
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
        std::io::Write::write_all(&mut encoder, &body).expect("memory");
        encoder.finish().expect("memory")
    }

    /// Writes it as Explicit VR Little Endian.
    pub fn save(&self, path: impl AsRef<Path>) {
        if let Some(folder) = path.as_ref().parent() {
            fs::create_dir_all(folder).expect("a folder");
        }
        fs::write(path, self.file(Syntax::ExplicitLittle)).expect("written");
    }
}

pub const PIXELS: (u16, u16) = (0x7fe0, 0x10);
pub const IMAGE_TYPE: (u16, u16) = (8, 8);
pub const SOP_CLASS: (u16, u16) = (8, 0x16);
pub const SOP_INSTANCE: (u16, u16) = (8, 0x18);
pub const MODALITY: (u16, u16) = (8, 0x60);
pub const DESCRIPTION: (u16, u16) = (8, 0x103e);
pub const THICKNESS: (u16, u16) = (0x18, 0x50);
pub const STUDY: (u16, u16) = (0x20, 0xd);
pub const SERIES: (u16, u16) = (0x20, 0xe);
pub const NUMBER: (u16, u16) = (0x20, 0x11);
pub const ACQUISITION: (u16, u16) = (0x20, 0x12);
pub const POSITION: (u16, u16) = (0x20, 0x32);
pub const ORIENTATION: (u16, u16) = (0x20, 0x37);
pub const FRAMES: (u16, u16) = (0x28, 8);
pub const ROWS: (u16, u16) = (0x28, 0x10);
pub const COLUMNS: (u16, u16) = (0x28, 0x11);
pub const SPACING: (u16, u16) = (0x28, 0x30);
pub const STORED: (u16, u16) = (0x28, 0x101);
pub const HIGH: (u16, u16) = (0x28, 0x102);
pub const SIGNED: (u16, u16) = (0x28, 0x103);
pub const PADDING: (u16, u16) = (0x28, 0x120);
pub const INTERCEPT: (u16, u16) = (0x28, 0x1052);
pub const SLOPE: (u16, u16) = (0x28, 0x1053);
pub const RESCALE_TYPE: (u16, u16) = (0x28, 0x1054);

/// The Series Instance UID of [`image`].
pub const UID: &str = "1.2.3.4";
/// The size of [`image`].
pub const SIZE: [usize; 2] = [4, 3];

/// The stored value of a voxel: of another slice it is another.
pub fn stored(i: usize, j: usize, k: usize) -> u16 {
    (1000 + 100 * k + 10 * j + i) as u16
}

/// Slice `k` of an axial CT of 4 columns and 3 rows, 0.5 mm between columns, 0.75 mm between rows, 2 mm between slices.
pub fn image(k: usize) -> Set {
    let [columns, rows] = SIZE;
    let pixels: Vec<u16> = (0..rows).flat_map(|j| (0..columns).map(move |i| stored(i, j, k))).collect();
    Set::default()
        .text(IMAGE_TYPE, b"CS", "ORIGINAL\\PRIMARY\\AXIAL")
        .text(SOP_CLASS, b"UI", "1.2.840.10008.5.1.4.1.1.2")
        .text(SOP_INSTANCE, b"UI", format!("{UID}.{k}"))
        .text(MODALITY, b"CS", "CT")
        .text((0x10, 0x10), b"PN", "Nobody")
        .text((0x10, 0x20), b"LO", "1")
        .numbers(THICKNESS, &[2.0])
        .text(STUDY, b"UI", "1.2.3")
        .text(SERIES, b"UI", UID)
        .text(NUMBER, b"IS", "7")
        .numbers(POSITION, &[-10.0, -20.0, 30.0 + 2.0 * k as f64])
        .numbers(ORIENTATION, &[1.0, 0.0, 0.0, 0.0, 1.0, 0.0])
        .text((0x20, 0x52), b"UI", "1.2.3.9")
        .word((0x28, 2), 1)
        .text((0x28, 4), b"CS", "MONOCHROME2")
        .word(ROWS, rows as u16)
        .word(COLUMNS, columns as u16)
        .numbers(SPACING, &[0.75, 0.5])
        .word((0x28, 0x100), 16)
        .word(STORED, 16)
        .word(HIGH, 15)
        .word(SIGNED, 0)
        .numbers(INTERCEPT, &[-1024.0])
        .numbers(SLOPE, &[1.0])
        .pixels(&pixels)
}

/// The Hounsfield units of slices of [`image`], i fastest.
pub fn hounsfield(slices: impl IntoIterator<Item = usize>) -> Vec<f32> {
    let [columns, rows] = SIZE;
    let mut voxels = Vec::new();
    for k in slices {
        for j in 0..rows {
            voxels.extend((0..columns).map(|i| f32::from(stored(i, j, k)) - 1024.0));
        }
    }
    voxels
}
