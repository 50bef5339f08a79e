//! Headers whose statements about geometry disagree.

use segvol_base::{ErrorKind, Warning, WarningCode};

use super::super::{Header, NiftiError};
use crate::affine::Affine;
use crate::read_options::AffineChoice;

const SPACING: [f64; 3] = [0.8, 0.8, 2.5];

/// A CT stored LPS, whose sform and qform say the same.
fn header() -> Header {
    let affine = Affine::new([[-0.8, 0.0, 0.0, 120.0], [0.0, -0.8, 0.0, 95.0], [0.0, 0.0, 2.5, -300.0]]);
    let mut header = Header::from_affine([301, 201, 101], &affine);
    header.qform_code = 1;
    header.quatern = [0.0, 0.0, 1.0];
    header.qoffset = [120.0, 95.0, -300.0];
    header
}

fn with(change: impl FnOnce(&mut Header)) -> Header {
    let mut header = header();
    change(&mut header);
    header
}

fn read(header: &Header, choice: Option<AffineChoice>) -> Result<(Affine, Vec<Warning>), NiftiError> {
    let mut warnings = Vec::new();
    let affine = header.affine_by(choice, &mut warnings)?;
    Ok((affine, warnings))
}

/// The affine, and the only warning, which has this code.
#[track_caller]
fn warned(header: &Header, choice: Option<AffineChoice>, code: WarningCode) -> (Affine, String) {
    let (affine, warnings) = read(header, choice).expect("usable");
    let [warning] = &warnings[..] else { panic!("{warnings:?}") };
    assert_eq!(warning.code, code, "{warning}");
    (affine, warning.message.clone())
}

#[track_caller]
fn assert_says(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "no {part:?} in {message:?}");
    }
}

#[track_caller]
fn assert_spacing(affine: &Affine, expected: [f64; 3]) {
    let found = affine.spacing_mm();
    assert!((0..3).all(|axis| (found[axis] / expected[axis] - 1.0).abs() < 1e-6), "{found:?}");
}

/// A quaternion rotates vectors about its axis by its angle, right-handed.
#[test]
fn quaternions_turn_about_their_axis() {
    let mut header = Header::from_affine([1, 1, 1], &Affine::from_spacing([1.0; 3]));
    header.sform_code = 0;
    header.qform_code = 1;
    for (axis, angle) in [([0.0, 0.0, 1.0], 0.3), ([0.6, 0.0, 0.8], 1.1), ([-0.48, 0.6, 0.64], 2.9)] {
        let [x, y, z]: [f64; 3] = axis;
        header.quatern = axis.map(|value| value * f64::sin(angle / 2.0));
        let affine = header.affine(&mut Vec::new()).expect("a rotation");
        // Rodrigues' rotation formula.
        let (sin, cos) = f64::sin_cos(angle);
        let v = [0.3, -1.0, 2.0];
        let cross = [y * v[2] - z * v[1], z * v[0] - x * v[2], x * v[1] - y * v[0]];
        let dot = x * v[0] + y * v[1] + z * v[2];
        let found = affine.apply(v);
        for row in 0..3 {
            let expected = v[row] * cos + cross[row] * sin + axis[row] * dot * (1.0 - cos);
            assert!((found[row] - expected).abs() < 1e-12, "{axis:?} by {angle}: {found:?}");
        }
    }
}

#[test]
fn a_header_that_agrees_with_itself_gives_its_sform_to_the_bit() {
    let (affine, warnings) = read(&header(), None).expect("usable");
    assert_eq!((affine, warnings), (Affine::new(header().srow), vec![]));
}

/// Every rotation, as float32 stores it: the two statements then differ by rounding.
#[test]
fn rounding_is_no_conflict() {
    let round = |value: f64| f64::from(value as f32);
    for step in 0..2000 {
        // Rotations spread over all axes and angles, many of them close to 180 degrees, where a quaternion is least exact.
        let t = f64::from(step);
        let (u, v) = ((t * 0.618_034).fract() * 2.0 - 1.0, t * 2.399_963);
        let ring = (1.0 - u * u).sqrt();
        let angle = std::f64::consts::PI * (1.0 - (t * 0.414_214).fract().powi(4));
        let axis = [ring * v.cos(), ring * v.sin(), u];
        let mut header = with(|header| {
            header.sform_code = 0;
            header.quatern = axis.map(|value| value * (angle / 2.0).sin());
            header.pixdim[0] = if step % 2 == 0 { 1.0 } else { -1.0 };
        });
        let exact = read(&header, None).expect("a rotation").0;
        header.sform_code = 2;
        header.srow = exact.rows().map(|row| row.map(round));
        header.quatern = header.quatern.map(round);
        header.pixdim = header.pixdim.map(round);
        let (affine, warnings) = read(&header, None).expect("no mirror");
        assert_eq!(warnings, vec![], "{axis:?} by {angle}");
        assert_eq!(affine.rows(), header.srow);
    }
}

/// A qform cannot express a shear. A gantry tilt is no conflict with the qform that comes nearest to it.
#[test]
fn a_shear_agrees_with_the_nearest_qform() {
    let sheared = Affine::new([[0.8, 0.0, 0.0, 10.0], [0.0, 0.8, 0.6, 20.0], [0.0, 0.0, 2.5, 30.0]]);
    let rotation = sheared.rotation().expect("invertible");
    let mut header = header();
    header.srow = sheared.rows();
    header.qoffset = [10.0, 20.0, 30.0];
    let [x, y, z] = sheared.spacing_mm();
    header.pixdim = [1.0, x, y, z, 0.0, 0.0, 0.0, 0.0];
    // A rotation about x alone: the sine of half its angle.
    header.quatern = [(rotation[2][1].atan2(rotation[1][1]) / 2.0).sin(), 0.0, 0.0];
    // Some programs write the distance between the slices instead of the way from voxel to voxel.
    for slices in [z, 2.5] {
        header.pixdim[3] = slices;
        for qform_code in [0, 1] {
            let (affine, message) = warned(&Header { qform_code, ..header.clone() }, None, WarningCode::AxesSheared);
            assert_eq!(affine, sheared);
            assert_says(&message, &["perpendicular"]);
        }
    }
}

#[test]
fn a_shift_is_warned_of_with_its_distance_and_the_sform_is_used() {
    let shifted = with(|header| header.qoffset = [123.0, 91.0, -300.0]);
    let (affine, message) = warned(&shifted, None, WarningCode::AffineConflict);
    assert_eq!(affine.rows(), shifted.srow);
    assert_says(
        &message,
        &["sform (code 2)", "qform (code 1)", "shifted by 5.00 mm", "5.00 mm apart", "sform was used"],
    );
    // Less than a tenth of a voxel is rounding, more is not.
    let slightly = |mm: f64| with(|header| header.qoffset[0] += mm);
    assert_eq!(read(&slightly(0.07), None).expect("usable").1, vec![]);
    warned(&slightly(0.09), None, WarningCode::AffineConflict);
    // The choice decides, and the warning stays.
    let (affine, message) = warned(&shifted, Some(AffineChoice::Qform), WarningCode::AffineConflict);
    assert_eq!(affine.apply([0.0; 3]), [123.0, 91.0, -300.0]);
    assert_says(&message, &["qform was used, as chosen"]);
    let (affine, message) = warned(&shifted, Some(AffineChoice::Sform), WarningCode::AffineConflict);
    assert_eq!(affine.rows(), shifted.srow);
    assert_says(&message, &["sform was used, as chosen"]);
}

#[test]
fn a_rotation_is_warned_of_with_its_angle() {
    for degrees in [0.5_f64, 12.0, 90.0] {
        // From the LPS axes, which are a rotation by 180 degrees about z.
        let half = (180.0 + degrees).to_radians() / 2.0;
        let turned = with(|header| {
            header.quatern = [0.0, 0.0, half.sin()];
            header.pixdim[0] = 1.0;
        });
        // The quaternion's fourth number is not negative, so the rotation is the other way round beyond 180 degrees.
        let (affine, message) = warned(&turned, None, WarningCode::AffineConflict);
        assert_eq!(affine.rows(), turned.srow);
        assert_says(&message, &[&format!("turned by {degrees:.1} degrees"), "sform was used"]);
    }
}

#[test]
fn what_would_mirror_the_patient_is_an_error_until_the_caller_chooses() {
    let left_right = |header: &mut Header| {
        header.srow[0] = [0.8, 0.0, 0.0, -120.0];
    };
    let turned_over = |header: &mut Header| {
        header.quatern = [0.0; 3];
        header.qoffset = [-120.0, -65.0, -300.0];
    };
    let slices_reversed = |header: &mut Header| header.pixdim[0] = -1.0;
    // Exchanged axes: a mirror image, although no axis points to the opposite side.
    let transposed = |header: &mut Header| {
        header.srow[0] = [0.0, -0.8, 0.0, 120.0];
        header.srow[1] = [-0.8, 0.0, 0.0, 95.0];
    };
    type Change<'a> = &'a dyn Fn(&mut Header);
    let cases: [(Change<'_>, &str); 4] = [
        (&left_right, "so right and left are the other way round"),
        (&turned_over, "so right and left, front and back are the other way round"),
        (&slices_reversed, "so head and feet are the other way round"),
        (&transposed, "mirror image"),
    ];
    for (change, swapped) in cases {
        let header = with(change);
        let error = read(&header, None).expect_err("which side is left?");
        assert_eq!(error.kind(), ErrorKind::Input);
        assert_says(&error.to_string(), &["sform", "qform", "mirror", swapped, "mm apart"]);

        let (sform, message) = warned(&header, Some(AffineChoice::Sform), WarningCode::AffineConflict);
        assert_says(&message, &["mirror", swapped, "sform was used, as chosen"]);
        assert_eq!(sform.rows(), header.srow);
        let (qform, message) = warned(&header, Some(AffineChoice::Qform), WarningCode::AffineConflict);
        assert_says(&message, &["mirror", swapped, "qform was used, as chosen"]);
        let alone = read(&Header { sform_code: 0, ..header }, None).expect("a qform").0;
        assert_eq!(qform, alone);
    }
    // The direction of a single slice puts no voxel anywhere else.
    let single = with(|header| {
        slices_reversed(header);
        header.shape_xyz[2] = 1;
    });
    assert_eq!(read(&single, None).expect("one slice").1, vec![]);
}

#[test]
fn an_unusable_affine_gives_way_to_a_good_one_with_a_warning() {
    type Change<'a> = &'a dyn Fn(&mut Header);
    let bad_sforms: [Change<'_>; 4] = [
        &|header| header.srow = [[0.0; 4]; 3],
        &|header| header.srow[1][2] = f64::NAN,
        &|header| header.srow[2] = [0.0, 0.0, 0.0, -300.0],
        &|header| header.srow[0][3] = f64::INFINITY,
    ];
    let bad_qforms: [Change<'_>; 5] = [
        &|header| header.quatern[1] = f64::NAN,
        &|header| header.qoffset[2] = f64::INFINITY,
        &|header| header.quatern = [1.0; 3],
        &|header| header.pixdim[3] = 0.0,
        &|header| header.pixdim[1] = f64::NAN,
    ];
    for (bad, good, changes) in [("sform", "qform", &bad_sforms[..]), ("qform", "sform", &bad_qforms[..])] {
        let choices = [AffineChoice::Sform, AffineChoice::Qform];
        let [this, other] = if bad == "sform" { choices } else { [choices[1], choices[0]] };
        for change in changes {
            let header = with(change);
            for choice in [None, Some(other)] {
                let (affine, message) = warned(&header, choice, WarningCode::AffineUnusable);
                assert_says(&message, &[&format!("the {bad} cannot be used"), &format!("the {good} was used")]);
                assert_spacing(&affine, SPACING);
                assert_eq!(affine.apply([0.0; 3]), [120.0, 95.0, -300.0]);
            }
            // What the caller chooses is used or refused, never replaced. A damaged qform may still be repaired.
            match read(&header, Some(this)) {
                Err(error) => assert_eq!(error.kind(), ErrorKind::Input),
                Ok((_, warnings)) => {
                    assert_eq!(this, AffineChoice::Qform);
                    assert!(!warnings.is_empty());
                }
            }
        }
    }
    let both = with(|header| {
        header.srow = [[0.0; 4]; 3];
        header.quatern = [f64::NAN; 3];
    });
    assert_says(&read(&both, None).expect_err("no affine").to_string(), &["srow", "only zeros"]);
}

#[test]
fn a_choice_that_the_file_does_not_state_is_warned_of() {
    for (choice, absent) in [(AffineChoice::Qform, "qform"), (AffineChoice::Sform, "sform")] {
        let header = with(|header| match choice {
            AffineChoice::Qform => header.qform_code = 0,
            AffineChoice::Sform => header.sform_code = 0,
        });
        let (affine, message) = warned(&header, Some(choice), WarningCode::AffineUnusable);
        assert_says(&message, &[&format!("no {absent}"), "was used"]);
        assert_spacing(&affine, SPACING);
    }
}

#[test]
fn columns_of_length_1_get_the_spacing_of_pixdim() {
    let unscaled = |header: &mut Header| {
        for (row, axis) in header.srow.iter_mut().zip(0..) {
            row[axis] = row[axis].signum();
        }
    };
    // Without a qform, and with one that agrees once the spacing is there.
    for qform_code in [0, 1] {
        let header = with(|header| {
            unscaled(header);
            header.qform_code = qform_code;
        });
        let (affine, message) = warned(&header, None, WarningCode::SpacingConflict);
        assert_spacing(&affine, SPACING);
        assert_eq!(affine.apply([0.0; 3]), [120.0, 95.0, -300.0]);
        assert_says(
            &message,
            &["1 x 1 x 1", "`pixdim` gives 0.8 x 0.8 x 2.5", "a factor of 1.6", "of `pixdim` was used"],
        );
    }
    // Who chooses the sform gets it.
    let literal = with(|header| {
        unscaled(header);
        header.qform_code = 0;
    });
    let mut warnings = Vec::new();
    let affine = literal.affine_by(Some(AffineChoice::Sform), &mut warnings).expect("usable");
    assert_eq!(affine.rows(), literal.srow);
    assert!(warnings.iter().all(|warning| warning.code == WarningCode::SpacingConflict), "{warnings:?}");
    assert_says(&warnings[0].message, &["as chosen"]);

    // A spacing that no scan has is not believed, and one that is 1 says nothing else.
    for pixdim in [[0.0, 0.8, 2.5], [900.0, 0.8, 2.5], [f64::NAN, 1.0, 1.0], [1.0; 3]] {
        let header = with(|header| {
            unscaled(header);
            header.qform_code = 0;
            header.pixdim[1..4].copy_from_slice(&pixdim);
        });
        assert_spacing(&read(&header, None).expect("usable").0, [1.0; 3]);
    }
}

#[test]
fn another_spacing_in_pixdim_is_warned_of() {
    let other = |qform_code: i32| {
        with(|header| {
            header.qform_code = qform_code;
            header.pixdim[3] = 5.0;
        })
    };
    for qform_code in [0, 1] {
        let (affine, message) = warned(&other(qform_code), None, WarningCode::SpacingConflict);
        assert_spacing(&affine, SPACING);
        assert_says(
            &message,
            &["0.8 x 0.8 x 2.5 mm by the sform", "0.8 x 0.8 x 5 mm by", "`pixdim`", "factor of 2.000"],
        );
    }
    // A spacing of 0 or NaN beside an sform says nothing, as long as no qform needs it.
    for spacing in [0.0, f64::NAN] {
        let unset = with(|header| {
            header.qform_code = 0;
            header.pixdim[3] = spacing;
        });
        assert_eq!(read(&unset, None).expect("usable").1, vec![]);
    }
}

#[test]
fn a_unit_that_no_scan_can_have_is_not_believed() {
    for (unit, name) in [(1, "metres"), (3, "micrometres"), (9, "metres")] {
        let header = with(|header| header.xyzt_units = unit);
        let (affine, message) = warned(&header, None, WarningCode::UnitUnknown);
        assert_eq!(affine.rows(), header.srow);
        assert_says(&message, &[name, "0.8 x 0.8 x 2.5", "millimetres were used"]);
    }
    // Millimetres are what most programs assume, so they stay.
    for (factor, name) in [(1e-3, "metres"), (1e3, "micrometres")] {
        let header = with(|header| {
            header.srow = header.srow.map(|row| row.map(|value| value * factor));
            header.qoffset = header.qoffset.map(|value| value * factor);
            header.pixdim[1..4].copy_from_slice(&SPACING.map(|value| value * factor));
        });
        let (affine, message) = warned(&header, None, WarningCode::UnitUnknown);
        assert_eq!(affine.rows(), header.srow);
        assert_says(&message, &[&format!("in {name} it would be 0.8 x 0.8 x 2.5 mm"), "millimetres were used"]);
    }
    // Nothing fits: the statement stands.
    let huge = with(|header| {
        header.xyzt_units = 1;
        header.srow = header.srow.map(|row| row.map(|value| value * 1e6));
        header.qform_code = 0;
        header.pixdim[1..4].fill(0.0);
    });
    let (affine, _) = warned(&huge, None, WarningCode::UnitConverted);
    assert_spacing(&affine, SPACING.map(|value| value * 1e9));
}

#[test]
fn spacings_are_printed_with_four_digits() {
    let text = super::text;
    assert_eq!(text([0.8, 2.751_913_309, 10.0]), "0.8 x 2.752 x 10");
    assert_eq!(text([0.002_751_9, 6266.694, 120_000.0]), "0.002752 x 6267 x 120000");
    assert_eq!(text([0.0, 1e-9, f64::INFINITY]), "0.000e0 x 1.000e-9 x inf");
}
