//! NIfTI headers: the fields that a volume needs, and those that are copied to a mask on its grid.

use super::{MAX_VOX_OFFSET, MAX_VOXELS, NiftiError};
use crate::affine::Affine;

/// The two versions of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// 348 bytes, float32 geometry, axes of at most 32767 voxels.
    One,
    /// 540 bytes, float64 geometry, 64-bit axes.
    Two,
}

impl Version {
    /// The size of the header in bytes, which is also the value of `sizeof_hdr`.
    pub const fn header_bytes(self) -> usize {
        match self {
            Self::One => 348,
            Self::Two => 540,
        }
    }

    /// The position of the first voxel in a file without extensions, in bytes: after the header and the four bytes that
    /// say that no extensions follow.
    pub const fn first_voxel(self) -> u64 {
        self.header_bytes() as u64 + 4
    }

    /// The value of `magic` if header and voxels are in one file.
    const fn magic(self) -> &'static [u8] {
        match self {
            Self::One => b"n+1\0",
            Self::Two => b"n+2\0\r\n\x1a\n",
        }
    }
}

/// The order of the bytes of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ByteOrder {
    /// The lowest byte first.
    Little,
    /// The highest byte first.
    Big,
}

/// The type of a stored voxel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are those of Rust's types")]
pub enum Datatype {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    U64,
    I64,
    F32,
    F64,
}

impl Datatype {
    /// Every type that can be read.
    pub const ALL: [Self; 10] =
        [Self::U8, Self::I8, Self::U16, Self::I16, Self::U32, Self::I32, Self::U64, Self::I64, Self::F32, Self::F64];

    /// The value of the field `datatype` for this type.
    pub const fn code(self) -> i16 {
        match self {
            Self::U8 => 2,
            Self::I16 => 4,
            Self::I32 => 8,
            Self::F32 => 16,
            Self::F64 => 64,
            Self::I8 => 256,
            Self::U16 => 512,
            Self::U32 => 768,
            Self::I64 => 1024,
            Self::U64 => 1280,
        }
    }

    /// The size of a voxel in bytes.
    pub const fn bytes(self) -> usize {
        match self {
            Self::U8 | Self::I8 => 1,
            Self::U16 | Self::I16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 => 8,
        }
    }

    /// The type for a value of the field `datatype`.
    ///
    /// # Errors
    /// [`NiftiError::Datatype`], with the specification's name of the type, if it is not an integer or a float of 8 to
    /// 64 bits.
    pub fn from_code(code: i16) -> Result<Self, NiftiError> {
        if let Some(found) = Self::ALL.into_iter().find(|datatype| datatype.code() == code) {
            return Ok(found);
        }
        let name = match code {
            0 => "unknown",
            1 => "one bit per voxel",
            32 => "complex64",
            128 => "RGB24",
            1536 => "float128",
            1792 => "complex128",
            2048 => "complex256",
            2304 => "RGBA32",
            _ => "not in the specification",
        };
        Err(NiftiError::Datatype { code, name })
    }
}

/// The fields of a header. Each has the larger of the two versions' types, so no value is rounded.
#[derive(Clone, Debug, PartialEq)]
pub struct Header {
    /// The version of the format.
    pub version: Version,
    /// The byte order of header and voxels.
    pub byte_order: ByteOrder,
    /// `dim[1..=3]`: voxels along i, j, k. Checked: at least 1 each, at most [`MAX_VOXELS`] together.
    pub shape_xyz: [usize; 3],
    /// `datatype`.
    pub datatype: Datatype,
    /// `bitpix`, the bits per voxel as the file gives them. Not checked.
    pub bitpix: i16,
    /// `vox_offset`: the position of the first voxel in the file, in bytes. Checked: after the header.
    pub vox_offset: u64,
    /// `scl_slope`. If it is 0 or not finite, the voxels are not scaled.
    pub scl_slope: f64,
    /// `scl_inter`.
    pub scl_inter: f64,
    /// `pixdim`: element 0 is the handedness of the qform, elements 1 to 3 are the spacings.
    pub pixdim: [f64; 8],
    /// `xyzt_units`: the lower three bits are the unit of length.
    pub xyzt_units: i32,
    /// `qform_code`.
    pub qform_code: i32,
    /// `sform_code`.
    pub sform_code: i32,
    /// `quatern_b`, `quatern_c`, `quatern_d`.
    pub quatern: [f64; 3],
    /// `qoffset_x`, `qoffset_y`, `qoffset_z`.
    pub qoffset: [f64; 3],
    /// `srow_x`, `srow_y`, `srow_z`.
    pub srow: [[f64; 4]; 3],
}

/// Reads fields at their offsets, in the file's byte order.
struct Fields<'a> {
    bytes: &'a [u8],
    order: ByteOrder,
}

impl Fields<'_> {
    fn array<const N: usize>(&self, offset: usize) -> [u8; N] {
        let mut array = [0; N];
        array.copy_from_slice(&self.bytes[offset..offset + N]);
        if self.order == ByteOrder::Big {
            array.reverse();
        }
        array
    }
    fn i16(&self, offset: usize) -> i16 {
        i16::from_le_bytes(self.array(offset))
    }
    fn i32(&self, offset: usize) -> i32 {
        i32::from_le_bytes(self.array(offset))
    }
    fn i64(&self, offset: usize) -> i64 {
        i64::from_le_bytes(self.array(offset))
    }
    fn f32(&self, offset: usize) -> f64 {
        f64::from(f32::from_le_bytes(self.array(offset)))
    }
    fn f64(&self, offset: usize) -> f64 {
        f64::from_le_bytes(self.array(offset))
    }
    fn f32s<const N: usize>(&self, offset: usize) -> [f64; N] {
        std::array::from_fn(|index| self.f32(offset + 4 * index))
    }
    fn f64s<const N: usize>(&self, offset: usize) -> [f64; N] {
        std::array::from_fn(|index| self.f64(offset + 8 * index))
    }
}

impl Header {
    /// The version and the byte order of a file whose first four bytes are `sizeof_hdr`.
    ///
    /// # Errors
    /// [`NiftiError::Field`] for `sizeof_hdr` if it is not a valid header size in either byte order.
    pub fn recognise(sizeof_hdr: [u8; 4]) -> Result<(Version, ByteOrder), NiftiError> {
        for (order, size) in
            [(ByteOrder::Little, i32::from_le_bytes(sizeof_hdr)), (ByteOrder::Big, i32::from_be_bytes(sizeof_hdr))]
        {
            for version in [Version::One, Version::Two] {
                if usize::try_from(size) == Ok(version.header_bytes()) {
                    return Ok((version, order));
                }
            }
        }
        let found = i32::from_le_bytes(sizeof_hdr);
        let found = format!("{found}: this is not a NIfTI file");
        Err(NiftiError::field("sizeof_hdr", "348 (NIfTI-1) or 540 (NIfTI-2)", found))
    }

    /// Reads the fields of a header, and checks the fields that are needed to read the voxels.
    ///
    /// # Errors
    /// - [`NiftiError::ShortHeader`] if `bytes` ends inside the header.
    /// - [`NiftiError::Detached`] if `magic` says that the voxels are in another file.
    /// - [`NiftiError::Datatype`] if the voxels are not integers or floats of 8 to 64 bits.
    /// - [`NiftiError::TooLarge`] if there are more than [`MAX_VOXELS`] voxels.
    /// - [`NiftiError::Field`], with the name of the field, if `sizeof_hdr`, `magic`, `dim` or `vox_offset` is not
    ///   valid.
    pub fn parse(bytes: &[u8]) -> Result<Self, NiftiError> {
        let short = |expected: usize| NiftiError::ShortHeader { expected: expected as u64, found: bytes.len() as u64 };
        let sizeof_hdr = bytes.first_chunk::<4>().ok_or_else(|| short(348))?;
        let (version, byte_order) = Self::recognise(*sizeof_hdr)?;
        let bytes = bytes.get(..version.header_bytes()).ok_or_else(|| short(version.header_bytes()))?;
        let fields = Fields { bytes, order: byte_order };
        match version {
            Version::One => {
                check_magic(&bytes[344..348], version)?;
                let dim = std::array::from_fn(|index| i64::from(fields.i16(40 + 2 * index)));
                let offset = fields.f32(108);
                if offset.fract() != 0.0 || !(0.0..=MAX_VOX_OFFSET as f64).contains(&offset) {
                    return Err(offset_error(version, offset));
                }
                Ok(Self {
                    version,
                    byte_order,
                    shape_xyz: shape(dim)?,
                    datatype: Datatype::from_code(fields.i16(70))?,
                    bitpix: fields.i16(72),
                    vox_offset: vox_offset(version, offset as u64)?,
                    scl_slope: fields.f32(112),
                    scl_inter: fields.f32(116),
                    pixdim: fields.f32s(76),
                    xyzt_units: i32::from(bytes[123]),
                    qform_code: i32::from(fields.i16(252)),
                    sform_code: i32::from(fields.i16(254)),
                    quatern: fields.f32s(256),
                    qoffset: fields.f32s(268),
                    srow: [fields.f32s(280), fields.f32s(296), fields.f32s(312)],
                })
            }
            Version::Two => {
                check_magic(&bytes[4..12], version)?;
                let dim = std::array::from_fn(|index| fields.i64(16 + 8 * index));
                let offset = fields.i64(168);
                let offset = u64::try_from(offset).map_err(|_| offset_error(version, offset))?;
                Ok(Self {
                    version,
                    byte_order,
                    shape_xyz: shape(dim)?,
                    datatype: Datatype::from_code(fields.i16(12))?,
                    bitpix: fields.i16(14),
                    vox_offset: vox_offset(version, offset)?,
                    scl_slope: fields.f64(176),
                    scl_inter: fields.f64(184),
                    pixdim: fields.f64s(104),
                    xyzt_units: fields.i32(500),
                    qform_code: fields.i32(344),
                    sform_code: fields.i32(348),
                    quatern: fields.f64s(352),
                    qoffset: fields.f64s(376),
                    srow: [fields.f64s(400), fields.f64s(432), fields.f64s(464)],
                })
            }
        }
    }

    /// A header for a volume that does not come from a file: `affine` as sform (code 2, aligned), no qform,
    /// millimetres, little-endian. Version 1 if all axes fit its 16 bits, otherwise version 2.
    pub(crate) fn from_affine(shape_xyz: [usize; 3], affine: &Affine) -> Self {
        let version = if shape_xyz.iter().all(|&n| i16::try_from(n).is_ok()) { Version::One } else { Version::Two };
        let [x, y, z] = affine.spacing_mm();
        Self {
            version,
            byte_order: ByteOrder::Little,
            shape_xyz,
            datatype: Datatype::F32,
            bitpix: 32,
            vox_offset: version.first_voxel(),
            scl_slope: 1.0,
            scl_inter: 0.0,
            pixdim: [1.0, x, y, z, 0.0, 0.0, 0.0, 0.0],
            xyzt_units: 2,
            qform_code: 0,
            sform_code: 2,
            quatern: [0.0; 3],
            qoffset: [0.0; 3],
            srow: affine.rows(),
        }
    }

    /// The number of voxels.
    pub fn voxels(&self) -> usize {
        self.shape_xyz.iter().product()
    }

    /// The header's bytes, and the four bytes after it that say that no extensions follow.
    ///
    /// Only the fields of this struct, `intent_code` and `descrip` are written. The other fields may name the patient,
    /// so they are 0. `descrip` is cut off after 79 bytes.
    pub fn encode(&self, intent_code: i16, descrip: &str) -> Vec<u8> {
        let size = self.version.header_bytes();
        let mut out = Encoder { bytes: vec![0; size + 4], order: self.byte_order };
        out.i32(0, size as i32);
        let dim = |index: usize| match index {
            0 => 3,
            1..=3 => self.shape_xyz[index - 1] as i64,
            _ => 1,
        };
        let text = &descrip.as_bytes()[..descrip.len().min(79)];
        match self.version {
            Version::One => {
                out.bytes[344..348].copy_from_slice(self.version.magic());
                (0..8).for_each(|index| out.i16(40 + 2 * index, dim(index) as i16));
                out.i16(68, intent_code);
                out.i16(70, self.datatype.code());
                out.i16(72, self.bitpix);
                out.f32s(76, &self.pixdim);
                out.f32s(108, &[self.vox_offset as f64, self.scl_slope, self.scl_inter]);
                out.bytes[123] = self.xyzt_units as u8;
                out.bytes[148..148 + text.len()].copy_from_slice(text);
                out.i16(252, self.qform_code as i16);
                out.i16(254, self.sform_code as i16);
                out.f32s(256, &self.quatern);
                out.f32s(268, &self.qoffset);
                out.f32s(280, self.srow.as_flattened());
            }
            Version::Two => {
                out.bytes[4..12].copy_from_slice(self.version.magic());
                out.i16(12, self.datatype.code());
                out.i16(14, self.bitpix);
                (0..8).for_each(|index| out.i64(16 + 8 * index, dim(index)));
                out.f64s(104, &self.pixdim);
                out.i64(168, self.vox_offset as i64);
                out.f64s(176, &[self.scl_slope, self.scl_inter]);
                out.bytes[240..240 + text.len()].copy_from_slice(text);
                out.i32(344, self.qform_code);
                out.i32(348, self.sform_code);
                out.f64s(352, &self.quatern);
                out.f64s(376, &self.qoffset);
                out.f64s(400, self.srow.as_flattened());
                out.i32(500, self.xyzt_units);
                out.i32(504, i32::from(intent_code));
            }
        }
        out.bytes
    }
}

fn check_magic(found: &[u8], version: Version) -> Result<(), NiftiError> {
    let expected = version.magic();
    if found == expected {
        return Ok(());
    }
    // Only the first three bytes are compared for detached pairs: the specification of 2003 does not define the fourth,
    // and NIfTI-2 adds bytes that detect a conversion of line ends.
    if found.starts_with(match version {
        Version::One => b"ni1",
        Version::Two => b"ni2",
    }) {
        return Err(NiftiError::Detached { found: "the header (.hdr)" });
    }
    Err(NiftiError::field("magic", format!("\"{}\"", expected.escape_ascii()), format!("\"{}\"", found.escape_ascii())))
}

/// Checks `dim`. Returns the voxels along i, j, k of one volume.
fn shape(dim: [i64; 8]) -> Result<[usize; 3], NiftiError> {
    const NAMES: [&str; 8] = ["dim[0]", "dim[1]", "dim[2]", "dim[3]", "dim[4]", "dim[5]", "dim[6]", "dim[7]"];
    if !(3..=7).contains(&dim[0]) {
        return Err(NiftiError::field(NAMES[0], "3 axes (up to 7 if the others have length 1)", dim[0]));
    }
    for axis in 1..=3 {
        if dim[axis] < 1 {
            return Err(NiftiError::field(NAMES[axis], "at least 1 voxel", dim[axis]));
        }
    }
    for axis in 4..=7 {
        // Some writers count a fourth axis and leave its length 0.
        if axis as i64 <= dim[0] && !matches!(dim[axis], 0 | 1) {
            return Err(NiftiError::field(NAMES[axis], "1 (one volume, not a series)", dim[axis]));
        }
    }
    let claimed = [dim[1], dim[2], dim[3]].map(|n| n as u64);
    let too_large = || NiftiError::TooLarge { shape: claimed, limit: MAX_VOXELS };
    let voxels = claimed.into_iter().try_fold(1_u64, u64::checked_mul).ok_or_else(too_large)?;
    if voxels > MAX_VOXELS {
        return Err(too_large());
    }
    Ok(claimed.map(|n| n as usize))
}

fn vox_offset(version: Version, claimed: u64) -> Result<u64, NiftiError> {
    match claimed {
        0 => Ok(version.first_voxel()),
        offset if (version.first_voxel()..=MAX_VOX_OFFSET).contains(&offset) => Ok(offset),
        offset => Err(offset_error(version, offset)),
    }
}

fn offset_error(version: Version, found: impl ToString) -> NiftiError {
    let expected = format!("a whole number from {} to {MAX_VOX_OFFSET}, or 0", version.first_voxel());
    NiftiError::field("vox_offset", expected, found)
}

/// Writes fields at their offsets, in the file's byte order.
struct Encoder {
    bytes: Vec<u8>,
    order: ByteOrder,
}

impl Encoder {
    fn put<const N: usize>(&mut self, offset: usize, mut little_endian: [u8; N]) {
        if self.order == ByteOrder::Big {
            little_endian.reverse();
        }
        self.bytes[offset..offset + N].copy_from_slice(&little_endian);
    }
    fn i16(&mut self, offset: usize, value: i16) {
        self.put(offset, value.to_le_bytes());
    }
    fn i32(&mut self, offset: usize, value: i32) {
        self.put(offset, value.to_le_bytes());
    }
    fn i64(&mut self, offset: usize, value: i64) {
        self.put(offset, value.to_le_bytes());
    }
    fn f32s(&mut self, offset: usize, values: &[f64]) {
        values
            .iter()
            .enumerate()
            .for_each(|(index, &value)| self.put(offset + 4 * index, (value as f32).to_le_bytes()));
    }
    fn f64s(&mut self, offset: usize, values: &[f64]) {
        values.iter().enumerate().for_each(|(index, &value)| self.put(offset + 8 * index, value.to_le_bytes()));
    }
}
