//! Normalises intensities: from Hounsfield units to the values that SegVol was trained on.

use ndarray::Array3;
use rayon::prelude::*;
use segvol_base::{ErrorKind, Warning, WarningCode};
use segvol_volume::Volume;
use segvol_volume::intensities::{AIR_HU, METAL_HU, Padding};

/// Why intensities cannot be normalised.
#[derive(Debug, thiserror::Error, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum IntensityError {
    /// A voxel is NaN or infinite.
    #[error("voxel {index_dhw:?} (depth, height, width): expected a finite intensity, found {value}")]
    NotFinite {
        /// The first such voxel, `[D, H, W]` of the oriented volume.
        index_dhw: [usize; 3],
        /// Its value.
        value: f32,
    },
    /// Voxels of a scan are NaN or infinite.
    #[error(
        "{count} of the scan's voxels {are} NaN or infinite; the first is ({i}, {j}, {k}) (i, j, k, counted from 0), with the \
         value {value}; expected finite Hounsfield units",
        are = if *count == 1 { "is" } else { "are" }, i = first_ijk[0], j = first_ijk[1], k = first_ijk[2]
    )]
    VoxelsNotFinite {
        /// The first such voxel in the order of the file: its index (i, j, k).
        first_ijk: [usize; 3],
        /// Its value.
        value: f32,
        /// How many there are.
        count: u64,
    },
    /// There is no contrast: all voxels are equal, or all foreground voxels are, to which the others are clipped.
    #[error(
        "the scan has no contrast: all voxels that are brighter than its mean have the same intensity, {value}; expected a \
         CT in Hounsfield units"
    )]
    Constant {
        /// The only intensity.
        value: f32,
    },
    /// The range of the intensities is too large for float32 arithmetic.
    #[error(
        "the intensities reach from {minimum} to {maximum}, which is too far for float32 arithmetic; expected Hounsfield units"
    )]
    Spread {
        /// The smallest intensity.
        minimum: f32,
        /// The largest intensity.
        maximum: f32,
    },
    /// There are no voxels.
    #[error("intensities: expected at least one voxel, found none")]
    Empty,
}

impl IntensityError {
    /// The kind of failure, which says what the caller can change.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFinite { .. }
            | Self::VoxelsNotFinite { .. }
            | Self::Constant { .. }
            | Self::Spread { .. }
            | Self::Empty => ErrorKind::Input,
        }
    }
}

/// Warnings about padding and metal, with what is done about them. `body_only` says that [`normalise_body`] is used.
#[must_use]
pub fn warnings(volume: &Volume, body_only: bool) -> Vec<Warning> {
    let mut warnings = Vec::new();
    let intensities = volume.intensities();
    if let (Some([low, high]), Some(share)) = (volume.padding_hu(), intensities.stated_padding) {
        let value = if low == high { format!("value {low}") } else { format!("values {low} to {high}") };
        let done = if body_only {
            "those around the field of view are taken as air"
        } else {
            "they count as a part of the scan, which can spoil the masks"
        };
        let message =
            format!("{:.1} % of the voxels have the padding {value} that the file states; {done}", 100.0 * share);
        warnings.push(Warning::new(WarningCode::IntensityPadding, message));
    }
    if let Some(Padding { value, share }) = intensities.padding {
        let done = if body_only && intensities.unlike_hounsfield.is_none() {
            "they are taken as air"
        } else {
            "they count as a part of the scan, which can spoil the masks"
        };
        let message = format!(
            "{:.1} % of the voxels are far below air, most of them {value}: padding outside the field of view; {done}",
            100.0 * share
        );
        warnings.push(Warning::new(WarningCode::IntensityPadding, message));
    }
    let metal_ml = volume.grid().volume_ml(intensities.above_body);
    if intensities.has_metal() && metal_ml >= LEAST_METAL_ML {
        let done = if body_only {
            "they do not count for the normalisation, but its artefacts can still spoil masks nearby"
        } else {
            "they count for the normalisation, which can spoil all masks"
        };
        let message = format!("{metal_ml:.1} mL are above {METAL_HU} HU: metal; {done}");
        warnings.push(Warning::new(WarningCode::IntensityMetal, message));
    }
    warnings
}

/// Less metal than this is not worth a warning, in millilitres.
const LEAST_METAL_ML: f64 = 0.1;

/// Number of voxels per partial sum. It is fixed, so that sums do not depend on the number of threads.
const CHUNK: usize = 1 << 16;

/// The percentiles of the foreground that all intensities are clipped to.
const PERCENTILES: [f64; 2] = [0.05, 99.95];

/// Scales CT intensities, in place, the way SegVol was trained.
///
/// The foreground is every voxel that is brighter than the mean of the whole volume. The steps, in this order:
///
/// 1. Clip all voxels to the foreground's 0.05 and 99.95 percentiles (linear interpolation).
/// 2. Subtract the foreground's mean, and divide by its population standard deviation. Both are computed before clipping.
/// 3. Subtract the minimum, and divide by the maximum.
///
/// | value    | shape       | unit             |
/// |----------|-------------|------------------|
/// | `volume` | `[D, H, W]` | Hounsfield units |
/// | result   | `[D, H, W]` | none, in [0, 1]  |
///
/// Sums are float64 over chunks of fixed size, so the result has the same bytes with any number of threads.
/// A few megabytes of memory are needed in addition to the volume.
///
/// # Errors
/// [`IntensityError::NotFinite`] if a voxel is NaN or infinite, with its index; [`IntensityError::Constant`] if there
/// is no contrast; [`IntensityError::Spread`] if the range of intensities is too large for float32;
/// [`IntensityError::Empty`] if there are no voxels. After an error the voxels are unchanged.
///
/// # Source
/// BAAI-DCAI/SegVol@5768c97, `data_process/demo_data_process.py`, `ForegroundNormalization` and `MinMaxNormalization`.
pub fn normalise(volume: &mut Array3<f32>) -> Result<(), IntensityError> {
    normalise_up_to(volume, f32::INFINITY)
}

/// As [`normalise`], but voxels that no body has do not count: voxels below [`AIR_HU`] become air first, and those above
/// [`METAL_HU`] are left out of the mean, the deviation, the percentiles and the extremes, and are then clipped like all
/// others. If there are no such voxels, the result has the same bytes as that of [`normalise`].
///
/// The released code counts padding and metal. With 21 % of the voxels at -3024, or 62 mL of metal, its mask of the demo's
/// liver falls from a Dice of 0.950 to 0.577 and to 0.013.
///
/// # Errors
/// As for [`normalise`].
pub fn normalise_body(volume: &mut Array3<f32>) -> Result<(), IntensityError> {
    clear_padding(volume);
    normalise_up_to(volume, METAL_HU)
}

/// Makes voxels below [`AIR_HU`] air. NaN stays NaN.
pub(crate) fn clear_padding(volume: &mut Array3<f32>) {
    volume.par_mapv_inplace(|value| if value < AIR_HU && value.is_finite() { AIR_HU } else { value });
}

/// The error of the first voxel that is NaN or infinite; `None` if all are finite.
pub(crate) fn not_finite(volume: &Array3<f32>) -> Option<IntensityError> {
    if volume.par_iter().all(|value| value.is_finite()) {
        return None;
    }
    let ((d, h, w), &value) = volume.indexed_iter().find(|(_, value)| !value.is_finite())?;
    Some(IntensityError::NotFinite { index_dhw: [d, h, w], value })
}

/// As [`normalise`], with a foreground and extremes of the voxels up to `limit` only.
fn normalise_up_to(volume: &mut Array3<f32>, limit: f32) -> Result<(), IntensityError> {
    let (_, height, width) = volume.dim();
    if !volume.is_standard_layout() {
        *volume = volume.as_standard_layout().into_owned();
    }
    let Some(voxels) = volume.as_slice_mut() else { return Err(IntensityError::Empty) };
    if voxels.is_empty() {
        return Err(IntensityError::Empty);
    }
    let whole = Sums::of(voxels, f32::NEG_INFINITY, limit, 0.0);
    if !whole.finite {
        let index = voxels.par_iter().position_first(|value| !value.is_finite());
        let index = index.expect("the sums have found a voxel that is not finite");
        let index_dhw = [index / (height * width), index / width % height, index % width];
        return Err(IntensityError::NotFinite { index_dhw, value: voxels[index] });
    }

    if whole.count == 0 {
        return Err(IntensityError::Constant { value: voxels[0] });
    }
    let threshold = (whole.sum / whole.count as f64) as f32; // NumPy's mean of float32 is float32.
    let foreground = Sums::of(voxels, threshold, limit, f64::from(threshold));
    let count = foreground.count;
    if count == 0 {
        return Err(IntensityError::Constant { value: voxels[0] });
    }
    let is_foreground = move |value: f32| value > threshold && value <= limit;
    let above = foreground.sum / count as f64;
    let mean = f64::from(threshold) + above;
    let deviation = (foreground.squares / count as f64 - above * above).max(0.0).sqrt().max(1e-8);
    let [lower, upper] = percentiles(voxels, is_foreground, count, PERCENTILES);

    let (mean, deviation) = (mean as f32, deviation as f32);
    let scale = move |value: f32| (value.max(lower).min(upper) - mean) / deviation;
    // `scale` never decreases, so the extremes of its argument give the extremes of its result.
    let minimum = scale(whole.minimum);
    let maximum = scale(whole.maximum) - minimum;
    if !(minimum.is_finite() && maximum.is_finite() && deviation.is_finite()) {
        return Err(IntensityError::Spread { minimum: whole.minimum, maximum: whole.maximum });
    }
    if maximum <= 0.0 {
        return Err(IntensityError::Constant { value: lower });
    }
    let maximum = maximum.max(1e-8);
    voxels.par_chunks_mut(CHUNK).for_each(|chunk| {
        for value in chunk {
            *value = (scale(*value) - minimum) / maximum;
        }
    });
    Ok(())
}

/// The results of one pass over the voxels.
#[derive(Clone, Copy)]
struct Sums {
    /// Whether every voxel is finite.
    finite: bool,
    minimum: f32,
    maximum: f32,
    /// Number of voxels above the threshold, up to the limit. `sum` and `squares` are over these voxels, minus the shift.
    count: u64,
    sum: f64,
    squares: f64,
}

impl Sums {
    /// Sums over the voxels above `threshold` and up to `limit`, minus `shift`. A `shift` near the mean avoids cancellation
    /// in the squares. The extremes are those of all voxels up to `limit`.
    fn of(voxels: &[f32], threshold: f32, limit: f32, shift: f64) -> Self {
        let chunks = voxels.par_chunks(CHUNK).map(|chunk| Self::of_chunk(chunk, threshold, limit, shift));
        let chunks: Vec<Self> = chunks.collect();
        let start = Self { finite: true, minimum: f32::MAX, maximum: f32::MIN, count: 0, sum: 0.0, squares: 0.0 };
        chunks.into_iter().fold(start, |a, b| Self {
            finite: a.finite && b.finite,
            minimum: a.minimum.min(b.minimum),
            maximum: a.maximum.max(b.maximum),
            count: a.count + b.count,
            sum: a.sum + b.sum,
            squares: a.squares + b.squares,
        })
    }

    /// Computes eight sums side by side, so that the compiler can use vector instructions, and adds them in a fixed order.
    fn of_chunk(chunk: &[f32], threshold: f32, limit: f32, shift: f64) -> Self {
        const LANES: usize = 8;
        let (mut sums, mut squares, mut counts) = ([0.0_f64; LANES], [0.0_f64; LANES], [0_u32; LANES]);
        let (mut minima, mut maxima, mut damaged) = ([f32::MAX; LANES], [f32::MIN; LANES], [false; LANES]);
        let mut add = |lane: usize, value: f32| {
            let counted = value <= limit;
            let above = value > threshold && counted;
            let term = if above { f64::from(value) - shift } else { 0.0 };
            sums[lane] += term;
            squares[lane] += term * term;
            counts[lane] += u32::from(above);
            minima[lane] = if value < minima[lane] && counted { value } else { minima[lane] };
            maxima[lane] = if value > maxima[lane] && counted { value } else { maxima[lane] };
            damaged[lane] |= !value.is_finite();
        };
        let (groups, rest) = chunk.as_chunks::<LANES>();
        for group in groups {
            (0..LANES).for_each(|lane| add(lane, group[lane]));
        }
        rest.iter().enumerate().for_each(|(lane, &value)| add(lane, value));
        Self {
            finite: !damaged.contains(&true),
            minimum: minima.into_iter().fold(f32::MAX, f32::min),
            maximum: maxima.into_iter().fold(f32::MIN, f32::max),
            count: counts.into_iter().map(u64::from).sum(),
            sum: sums.into_iter().sum(),
            squares: squares.into_iter().sum(),
        }
    }
}

/// Percentiles of the `count` chosen voxels, interpolated linearly as in NumPy.
///
/// Order statistics are found by counting the upper and then the lower halves of the floats' bits, so nothing is copied
/// or sorted.
fn percentiles<const N: usize>(
    voxels: &[f32],
    chosen: impl Fn(f32) -> bool + Sync,
    count: u64,
    percent: [f64; N],
) -> [f32; N] {
    let position = percent.map(|percent| percent / 100.0 * (count - 1) as f64);
    let mut ranks: Vec<u64> = position.iter().flat_map(|p| [p.floor() as u64, p.ceil() as u64]).collect();
    ranks.sort_unstable();
    ranks.dedup();

    let upper = histogram(voxels, 1, |value| chosen(value).then(|| (ordered_bits(value) >> 16) as usize));
    // For each rank: the bucket of its upper bits, and its rank in that bucket.
    let located: Vec<(usize, u64)> = ranks.iter().map(|&rank| locate(&upper, rank)).collect();
    let mut buckets: Vec<usize> = located.iter().map(|&(bucket, _)| bucket).collect();
    buckets.dedup();
    let lower = histogram(voxels, buckets.len(), |value| {
        let bits = ordered_bits(value);
        let bucket = buckets.iter().position(|&bucket| bucket == (bits >> 16) as usize)?;
        chosen(value).then_some(bucket * KEYS + (bits & 0xffff) as usize)
    });
    let value_at = |rank: u64| {
        let (bucket, inside) = located[ranks.partition_point(|&known| known < rank)];
        let place = buckets.partition_point(|&known| known < bucket);
        let (low_bits, _) = locate(&lower[place * KEYS..(place + 1) * KEYS], inside);
        from_ordered_bits((bucket as u32) << 16 | low_bits as u32)
    };
    position.map(|position| {
        let (below, above) =
            (f64::from(value_at(position.floor() as u64)), f64::from(value_at(position.ceil() as u64)));
        (below + (above - below) * position.fract()) as f32
    })
}

/// Number of values of one half of a float's bits.
const KEYS: usize = 1 << 16;

/// Counts how often each of `tables * KEYS` keys occurs.
fn histogram(voxels: &[f32], tables: usize, key: impl Fn(f32) -> Option<usize> + Sync) -> Vec<u64> {
    let none = || vec![0_u64; tables * KEYS];
    let count = |mut counts: Vec<u64>, chunk: &[f32]| {
        chunk.iter().filter_map(|&value| key(value)).for_each(|key| counts[key] += 1);
        counts
    };
    voxels.par_chunks(64 * CHUNK).fold(none, count).reduce(none, |mut a, b| {
        a.iter_mut().zip(b).for_each(|(a, b)| *a += b);
        a
    })
}

/// The key of the element with this rank (from 0), and its rank among the elements with that key.
///
/// `rank` must be less than the sum of `counts`.
fn locate(counts: &[u64], mut rank: u64) -> (usize, u64) {
    for (key, &count) in counts.iter().enumerate() {
        if rank < count {
            return (key, rank);
        }
        rank -= count;
    }
    unreachable!("the rank is less than the number of elements")
}

/// Bits that compare like the floats, with -0.0 below 0.0.
fn ordered_bits(value: f32) -> u32 {
    let bits = value.to_bits();
    if bits >> 31 == 0 { bits | 1 << 31 } else { !bits }
}

fn from_ordered_bits(bits: u32) -> f32 {
    f32::from_bits(if bits >> 31 == 1 { bits & !(1 << 31) } else { !bits })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn volume(values: &[f32]) -> Array3<f32> {
        Array3::from_shape_vec((1, 1, values.len()), values.to_vec()).expect("one row")
    }

    #[test]
    fn order_of_the_steps_is_the_released_one() {
        let values: Vec<f32> = (0..4000).map(|i| if i < 2000 { -1000.0 } else { (i - 2000) as f32 }).collect();
        let mut scaled = volume(&values);
        normalise(&mut scaled).expect("contrast");
        // The same by hand, in float64: the mean of all is -0.25, so the foreground is 0, 1, ..., 1999.
        let (lower, upper) = (0.0005 * 1999.0, 0.9995 * 1999.0);
        for (&value, &found) in values.iter().zip(&scaled) {
            let expected = (f64::from(value).clamp(lower, upper) - lower) / (upper - lower);
            assert!((f64::from(found) - expected).abs() < 1e-6, "{value}: {found}, expected {expected}");
        }
        assert_eq!(scaled[[0, 0, 0]], 0.0);
        assert_eq!(scaled[[0, 0, 3999]], 1.0);
    }

    #[test]
    fn non_finite_voxels_are_named() {
        for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut volume = Array3::from_shape_fn((3, 4, 5), |(d, h, w)| (d + h + w) as f32);
            volume[[1, 2, 3]] = value;
            volume[[2, 0, 0]] = value;
            match normalise(&mut volume) {
                Err(IntensityError::NotFinite { index_dhw: [1, 2, 3], .. }) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn volumes_without_contrast_are_refused() {
        assert_eq!(normalise(&mut volume(&[7.0; 20])), Err(IntensityError::Constant { value: 7.0 }));
        // One bright voxel: the whole foreground, so that every voxel is clipped to it.
        assert_eq!(normalise(&mut volume(&[0.0, 0.0, 5.0])), Err(IntensityError::Constant { value: 5.0 }));
        assert_eq!(normalise(&mut Array3::zeros((0, 3, 3))), Err(IntensityError::Empty));
        let extremes = normalise(&mut volume(&[f32::MIN, f32::MIN, f32::MAX, f32::MAX, 0.9e38]));
        assert!(matches!(extremes, Ok(()) | Err(IntensityError::Spread { .. })), "{extremes:?}");
    }

    #[test]
    fn threads_do_not_change_a_bit() {
        let input =
            Array3::from_shape_fn((40, 70, 80), |(d, h, w)| ((d * 7919 + h * 104_729 + w * 31) % 3001) as f32 - 1000.3);
        let with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("pool");
            let mut volume = input.clone();
            pool.install(|| normalise(&mut volume)).expect("contrast");
            volume.mapv(f32::to_bits)
        };
        assert_eq!(with(1), with(3));
    }

    proptest! {
        #[test]
        fn percentiles_are_those_of_the_sorted_voxels(
            values in prop::collection::vec(prop_oneof![-2e3_f32..3e3, Just(0.0), Just(-0.0), Just(12.0)], 1..400),
            percent in 0.0_f64..100.0,
        ) {
            let mut sorted = values.clone();
            sorted.sort_by(f32::total_cmp);
            let position = percent / 100.0 * (values.len() - 1) as f64;
            let below = f64::from(sorted[position.floor() as usize]);
            let above = f64::from(sorted[position.ceil() as usize]);
            let expected = (below + (above - below) * position.fract()) as f32;
            let [found] = percentiles(&values, |_| true, values.len() as u64, [percent]);
            prop_assert_eq!(found, expected);
        }
    }
}
