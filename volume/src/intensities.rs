//! What the intensities of a volume look like: Hounsfield units, padding, metal, a picture, a label map.

use rayon::prelude::*;
use segvol_base::{Warning, WarningCode};

/// The darkest intensity that a scanner gives to air, in Hounsfield units: the bottom of the 12-bit range. Darker voxels
/// are padding outside of the field of view.
pub const AIR_HU: f32 = -1024.0;

/// The brightest intensity of a body, in Hounsfield units. Bone has up to 2000 and enamel up to 3000; above are metal and
/// its artefacts, which 12-bit scanners store as 3071.
pub const METAL_HU: f32 = 3000.0;

/// Below this, voxels are padding and not noise of air, in Hounsfield units.
const PADDING_HU: f32 = -1200.0;

/// A scan without any voxel as dark as this does not have Hounsfield units: there is no air.
pub const BRIGHTEST_AIR_HU: f32 = -500.0;

/// The smallest share of all voxels that is called padding, and of all voxels above [`BRIGHTEST_AIR_HU`] that metal may
/// have at most.
const PADDING_SHARE: f64 = 1e-3;
const METAL_SHARE: f64 = 0.05;

/// Number of voxels per partial count.
const CHUNK: usize = 1 << 18;

/// The intensities that have a counter of their own, one per Hounsfield unit.
const FIRST: i32 = -4096;
const BINS: usize = 8192;

/// Counts of a volume's intensities, and what they look like.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Intensities {
    /// The darkest voxel; NaN and infinities are not counted.
    pub minimum: f32,
    /// The brightest voxel.
    pub maximum: f32,
    /// Number of voxels below [`AIR_HU`].
    pub below_air: u64,
    /// Number of voxels above [`METAL_HU`].
    pub above_body: u64,
    /// Padding, if more than a few voxels are far below air.
    pub padding: Option<Padding>,
    /// The share of all voxels, in [0, 1], that have a value which the file states for padding, if they are more than a few. They are
    /// counted nowhere else.
    pub stated_padding: Option<f64>,
    /// What the intensities look like if not like Hounsfield units.
    pub unlike_hounsfield: Option<Unlike>,
}

/// Voxels outside of the scanner's field of view.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Padding {
    /// The most frequent value of the padding, in Hounsfield units.
    pub value: f32,
    /// Its share of all voxels, in [0, 1].
    pub share: f64,
}

/// What intensities look like that are not Hounsfield units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unlike {
    /// Few whole numbers in connected areas: a label map.
    LabelMap {
        /// Number of different values, 0 included.
        labels: usize,
    },
    /// Scaled to 0 to 1, or to -1 to 1.
    UnitRange,
    /// 0 to 255.
    EightBit,
    /// Hounsfield units plus about 1024.
    Offset,
    /// None of these, but there is no air.
    NoAir,
    /// There is air, but far too many voxels are above [`METAL_HU`].
    TooBright,
}

impl Intensities {
    /// Counts the voxels of a volume, i fastest, then j, k.
    #[must_use]
    pub fn of(voxels: &[f32]) -> Self {
        Self::without(voxels, None)
    }

    /// As [`Intensities::of`], without the voxels from the lowest to the highest value of padding: they are air, whatever their value.
    #[must_use]
    pub fn without(voxels: &[f32], padding_hu: Option<[f32; 2]>) -> Self {
        let add = |counts: Counts, voxels: &[f32]| match padding_hu {
            None => counts.add(voxels.iter().copied()),
            Some([low, high]) => {
                counts.add(voxels.iter().copied().filter(|value| !(low - 1e-3..=high + 1e-3).contains(value)))
            }
        };
        let counts = voxels.par_chunks(CHUNK).fold(Counts::default, add).reduce(Counts::default, Counts::and);
        let finite = || voxels.par_iter().filter(|value| value.is_finite()).count() as u64;
        let stated = padding_hu.map_or(0, |_| finite() - counts.finite);
        let voxels = voxels.len() as f64;
        let below_padding = counts.below_padding();
        let share = below_padding.iter().map(|(_, count)| *count).sum::<u64>() as f64 / voxels;
        let most = below_padding.iter().max_by_key(|(_, count)| *count);
        let padding = most.filter(|_| share > PADDING_SHARE).map(|&(value, _)| Padding { value, share });
        Self {
            minimum: counts.minimum,
            maximum: counts.maximum,
            below_air: counts.below_air,
            above_body: counts.above_body,
            padding,
            stated_padding: Some(stated as f64 / voxels).filter(|&share| share > PADDING_SHARE),
            unlike_hounsfield: counts.unlike_hounsfield().filter(|&unlike| stated == 0 || unlike != Unlike::NoAir),
        }
    }

    /// Whether the voxels above [`METAL_HU`] are metal in a scan in Hounsfield units, rather than a part of another range of
    /// intensities.
    #[must_use]
    pub fn has_metal(&self) -> bool {
        self.above_body > 0 && self.unlike_hounsfield.is_none()
    }

    /// What a user should know about the intensities, whatever is done with them.
    #[must_use]
    pub fn warning(&self) -> Option<Warning> {
        let (minimum, maximum) = (self.minimum, self.maximum);
        let range = format!("{minimum} to {maximum}");
        let (code, message) = match self.unlike_hounsfield? {
            Unlike::LabelMap { labels } => (
                WarningCode::IntensityLabelMap,
                format!("this looks like a label map, not a scan: {labels} different whole numbers, {range}"),
            ),
            Unlike::UnitRange => (
                WarningCode::IntensityUnitRange,
                format!(
                    "intensities are {range}: they look scaled and do not look like Hounsfield units, where air is -1000; use the scan before it was scaled"
                ),
            ),
            Unlike::EightBit => (
                WarningCode::IntensityEightBit,
                format!(
                    "intensities are {range}: they look like an 8-bit picture and do not look like Hounsfield units, where air is -1000; use the original scan"
                ),
            ),
            Unlike::Offset => (
                WarningCode::IntensityOffset,
                format!(
                    "intensities are {range}: they look like Hounsfield units plus 1024 (soft tissue is near 1060, where 40 is expected); subtract 1024, or apply the scan's rescale intercept"
                ),
            ),
            Unlike::NoAir => (
                WarningCode::IntensityNotHounsfield,
                format!(
                    "the darkest voxel is {minimum}: intensities do not look like Hounsfield units, where air is -1000"
                ),
            ),
            Unlike::TooBright => (
                WarningCode::IntensityNotHounsfield,
                format!(
                    "intensities are {range}, many of them above {METAL_HU}: they do not look like Hounsfield units, where bone has at most 2000"
                ),
            ),
        };
        Some(Warning::new(code, message))
    }
}

/// Counts over some of the voxels.
#[derive(Clone)]
struct Counts {
    minimum: f32,
    maximum: f32,
    finite: u64,
    below_air: u64,
    above_body: u64,
    /// Voxels that are whole numbers.
    whole: u64,
    /// Voxels that are not 0, and those of them whose next voxel has the same value.
    not_zero: u64,
    followed: u64,
    /// Voxels per Hounsfield unit from [`FIRST`]; the first and the last counter also have what is beyond.
    bins: Vec<u64>,
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            minimum: f32::INFINITY,
            maximum: f32::NEG_INFINITY,
            finite: 0,
            below_air: 0,
            above_body: 0,
            whole: 0,
            not_zero: 0,
            followed: 0,
            bins: vec![0; BINS],
        }
    }
}

impl Counts {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // Clamped to the range of the counters.
    fn add(mut self, voxels: impl Iterator<Item = f32>) -> Self {
        let mut previous = 0.0;
        for value in voxels.filter(|value| value.is_finite()) {
            self.finite += 1;
            self.minimum = self.minimum.min(value);
            self.maximum = self.maximum.max(value);
            self.below_air += u64::from(value < AIR_HU);
            self.above_body += u64::from(value > METAL_HU);
            let rounded = value.round();
            self.whole += u64::from(rounded == value);
            self.not_zero += u64::from(value != 0.0);
            self.followed += u64::from(value != 0.0 && value == previous);
            previous = value;
            let bin = (rounded - FIRST as f32).clamp(0.0, (BINS - 1) as f32);
            self.bins[bin as usize] += 1;
        }
        self
    }

    fn and(mut self, other: Self) -> Self {
        self.minimum = self.minimum.min(other.minimum);
        self.maximum = self.maximum.max(other.maximum);
        self.finite += other.finite;
        self.below_air += other.below_air;
        self.above_body += other.above_body;
        self.whole += other.whole;
        self.not_zero += other.not_zero;
        self.followed += other.followed;
        self.bins.iter_mut().zip(other.bins).for_each(|(a, b)| *a += b);
        self
    }

    /// Values and counts below [`PADDING_HU`].
    fn below_padding(&self) -> Vec<(f32, u64)> {
        let end = (PADDING_HU as i32 - FIRST) as usize;
        let value = |bin: usize| if bin == 0 { self.minimum } else { (bin as i32 + FIRST) as f32 };
        (0..end).filter(|&bin| self.bins[bin] > 0).map(|bin| (value(bin), self.bins[bin])).collect()
    }

    /// Number of voxels from `from` up to but not including `to`, in Hounsfield units.
    fn between(&self, from: i32, to: i32) -> u64 {
        self.bins[(from - FIRST) as usize..(to - FIRST) as usize].iter().sum()
    }

    fn unlike_hounsfield(&self) -> Option<Unlike> {
        if self.finite < 8 {
            return (self.finite > 0 && self.minimum > BRIGHTEST_AIR_HU).then_some(Unlike::NoAir);
        }
        let share = |part: u64, all: u64| part as f64 / all.max(1) as f64;
        let values = self.bins.iter().filter(|&&count| count > 0).count();
        let connected = share(self.followed, self.not_zero) > 0.75;
        if self.whole == self.finite && self.minimum >= 0.0 && values <= 256 && connected {
            return Some(Unlike::LabelMap { labels: values });
        }
        if self.minimum >= -1.001 && self.maximum <= 1.001 {
            return Some(Unlike::UnitRange);
        }
        if self.minimum >= 0.0 && self.maximum <= 255.0 {
            return Some(Unlike::EightBit);
        }
        // Padding may be far below; the rest has no fat, lung or air below -200, but soft tissue 1024 too high.
        let body = self.finite - self.between(FIRST, PADDING_HU as i32);
        let dark = self.between(PADDING_HU as i32, -200);
        let shifted_tissue = self.between(824, 1324);
        if share(dark, body) < 1e-3 && share(shifted_tissue, body) > 0.1 && self.between(-200, 600) > 0 {
            return Some(Unlike::Offset);
        }
        if self.minimum > BRIGHTEST_AIR_HU {
            return Some(Unlike::NoAir);
        }
        let bright = self.between(BRIGHTEST_AIR_HU as i32, FIRST + BINS as i32);
        (share(self.above_body, bright) > METAL_SHARE).then_some(Unlike::TooBright)
    }
}
