use super::*;

const MM: [f64; 3] = [1.0; 3];

fn painted(shape: [usize; 3], is_inside: impl Fn([usize; 3]) -> bool) -> Vec<bool> {
    let mut painted = Vec::new();
    for a in 0..shape[0] {
        for b in 0..shape[1] {
            painted.extend((0..shape[2]).map(|c| is_inside([a, b, c])));
        }
    }
    painted
}

#[test]
fn a_line_gives_points_along_its_whole_length() {
    let shape = [1, 3, 41];
    let line = painted(shape, |[_, b, _]| b == 1);
    assert_eq!(points(&line, shape, MM), [[0, 1, 20], [0, 1, 0], [0, 1, 40], [0, 1, 10], [0, 1, 30]]);
    let shape = [1, 1, 41];
    assert_eq!(points(&[true; 41], shape, MM), [[0, 0, 20], [0, 0, 0], [0, 0, 40], [0, 0, 10], [0, 0, 30]]);
    // Points of a short one would be too close to each other.
    assert_eq!(points(&[true; 9], [1, 1, 9], MM), [[0, 0, 4]]);
    assert_eq!(points(&[true; 9], [1, 1, 9], [1.0, 1.0, 1.5]), [[0, 0, 4], [0, 0, 0], [0, 0, 8]]);
}

#[test]
fn the_margin_of_an_outline_gives_no_points() {
    // Its deepest voxels are 10 steps from the border.
    let shape = [1, 20, 60];
    let points = points(&[true; 1200], shape, MM);
    assert_eq!(points.len(), MAX_POINTS);
    for [_, b, c] in points {
        assert!((4..16).contains(&b) && (4..56).contains(&c), "{b} {c}");
    }
}

#[test]
fn points_are_always_painted() {
    // A ring: its centre is not painted.
    let shape = [1, 41, 41];
    let ring = painted(shape, |[_, b, c]| {
        let (b, c) = (b as f64 - 20.0, c as f64 - 20.0);
        (144.0..=361.0).contains(&(b * b + c * c))
    });
    let points = points(&ring, shape, MM);
    assert_eq!(points.len(), MAX_POINTS);
    for [a, b, c] in points {
        assert!(ring[(a * 41 + b) * 41 + c], "{b} {c}");
    }
}

#[test]
fn a_single_voxel_is_a_point_and_nothing_is_none() {
    assert_eq!(points(&[true], [1, 1, 1], MM), [[0, 0, 0]]);
    assert_eq!(points(&[false; 8], [2, 2, 2], MM), Vec::<[usize; 3]>::new());
    let corner = painted([3, 4, 5], |at| at == [2, 3, 4]);
    assert_eq!(points(&corner, [3, 4, 5], MM), [[2, 3, 4]]);
}

#[test]
fn distances_are_millimetres() {
    // Thick slices: the ends along the first axis are farther away than those along the last.
    let shape = [5, 1, 21];
    let cross = painted(shape, |[a, _, c]| a == 2 || c == 10);
    let points = points(&cross, shape, [10.0, 1.0, 1.0]);
    assert_eq!(points[0], [2, 0, 10]);
    assert_eq!(points[1..3], [[0, 0, 10], [4, 0, 10]]);
}

#[test]
fn the_part_around_a_stroke_is_as_small_as_it_can_be() {
    let shape = [4, 5, 6];
    let stroke = painted(shape, |at| [[1, 2, 3], [2, 2, 5]].contains(&at));
    let (part, size, low) = cropped(&stroke, shape).unwrap();
    assert_eq!((size, low), ([2, 1, 3], [1, 2, 3]));
    assert_eq!(part, [true, false, false, false, false, true]);
    assert!(cropped(&[false; 8], [2, 2, 2]).is_none());
}
