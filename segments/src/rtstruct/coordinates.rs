//! Coordinates as decimal strings, each rounded to the same number of decimals.

use crate::error::SegmentsError;

/// The decimals of a coordinate in millimetres, for voxels of at least 0.1 mm: a tenth of a micrometre.
const DECIMALS: usize = 4;

/// The most characters of a decimal string (DS).
const MAX_CHARACTERS: usize = 16;

/// So many decimals that rounding moves no point further than a two-thousandth of the spacing.
///
/// # Errors
///
/// [`SegmentsError::Unfit`] if `farthest_mm`, the largest coordinate, does not fit with them.
pub(super) fn decimals(smallest_spacing_mm: f64, farthest_mm: f64) -> Result<usize, SegmentsError> {
    let more = (0.1 / smallest_spacing_mm).log10().ceil().max(0.0);
    let decimals = DECIMALS + more as usize;
    let fits = |decimals: usize| format!("{:.decimals$}", -farthest_mm.abs()).len() <= MAX_CHARACTERS;
    if !farthest_mm.is_finite() || decimals > MAX_CHARACTERS || !fits(decimals) {
        return Err(SegmentsError::Unfit {
            what: "RTSTRUCT",
            reason: format!(
                "coordinates of up to {farthest_mm:e} mm and voxels of {smallest_spacing_mm:e} mm do not fit into the \
                 {MAX_CHARACTERS} characters of a DICOM number; write the masks in another format"
            ),
        });
    }
    Ok(decimals)
}

/// A coordinate with at most this many decimals.
pub(super) fn written(mm: f64, decimals: usize) -> String {
    let text = format!("{mm:.decimals$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coordinates_are_short_and_as_exact_as_the_voxels_need() {
        assert_eq!(decimals(0.7, 1234.5).expect("fits"), 4);
        assert_eq!(decimals(0.05, 1234.5).expect("fits"), 5);
        assert_eq!(decimals(0.001, 1234.5).expect("fits"), 6);
        for (spacing, farthest) in [(0.7, 1e11), (1e-9, 1e5), (1e-300, 1.0), (0.7, f64::INFINITY), (f64::NAN, 1e20)] {
            let error = decimals(spacing, farthest).expect_err("too long").to_string();
            assert!(error.contains("16 characters"), "{error}");
        }
        for (mm, expected) in [
            (0.0, "0"),
            (-0.00001, "0"),
            (-0.0, "0"),
            (12.5, "12.5"),
            (100.0, "100"),
            (-1_234.567_89, "-1234.5679"),
            (-99_999_999_999.0, "-99999999999"),
        ] {
            assert_eq!(written(mm, 4), expected);
        }
        assert_eq!(written(100.0, 0), "100");
    }
}
