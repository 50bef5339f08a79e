//! Voxels to polygons and back.

mod files;

use proptest::prelude::*;

use super::outline::{Corner, Outliner, Slice};
use super::raster::Raster;

fn polygons(inside: &[u8], size: [usize; 2]) -> Vec<Vec<Corner>> {
    Outliner::new(size).polygons(&Slice::new(inside, size))
}

/// Corners as points: centres are whole numbers.
fn points(polygon: &[Corner]) -> Vec<[f64; 2]> {
    polygon.iter().map(|corner| corner.map(|n| f64::from(n) - 0.5)).collect()
}

fn filled(polygons: &[Vec<[f64; 2]>], size: [usize; 2]) -> Vec<u8> {
    let mut raster = Raster::new(size);
    polygons.iter().for_each(|polygon| raster.add(polygon));
    let mut voxels = vec![0; size[0] * size[1]];
    raster.take(|[i, j]| voxels[j * size[0] + i] += 1);
    voxels
}

/// Twice the signed area.
fn area(polygon: &[Corner]) -> i64 {
    let ends = polygon.iter().cycle().skip(1);
    polygon.iter().zip(ends).map(|(a, b)| i64::from(a[0]) * i64::from(b[1]) - i64::from(b[0]) * i64::from(a[1])).sum()
}

/// How often a polygon winds around the centre of a voxel.
fn windings(polygon: &[Corner], i: usize, j: usize) -> i32 {
    let ends = polygon.iter().cycle().skip(1);
    let crossing = |(a, b): (&Corner, &Corner)| {
        let spans = |from: u32, to: u32| from as usize <= j && j < to as usize;
        match a[0] == b[0] && a[0] as usize <= i {
            true if spans(b[1], a[1]) => 1,
            true if spans(a[1], b[1]) => -1,
            _ => 0,
        }
    };
    polygon.iter().zip(ends).map(crossing).sum()
}

/// All that is promised of the polygons of a slice.
fn check(inside: &[u8], size: [usize; 2]) {
    let polygons = polygons(inside, size);
    let name = || picture(inside, size);
    for polygon in &polygons {
        assert!(polygon.len() >= 4, "{}", name());
        for index in 0..polygon.len() {
            let [a, b, c] = [0, 1, 2].map(|next| polygon[(index + next) % polygon.len()].map(i64::from));
            let (ab, bc) = ([b[0] - a[0], b[1] - a[1]], [c[0] - b[0], c[1] - b[1]]);
            assert!((ab[0] == 0) != (ab[1] == 0), "neither oblique nor of no length: {polygon:?}\n{}", name());
            let is_straight = ab[0] * bc[1] == ab[1] * bc[0] && ab[0] * bc[0] + ab[1] * bc[1] > 0;
            let is_end_of_keyhole = polygon.iter().filter(|corner| corner.map(i64::from) == b).count() == 2;
            assert!(!is_straight || is_end_of_keyhole, "{b:?} is no corner of {polygon:?}\n{}", name());
        }
    }
    let voxels = inside.iter().filter(|&&voxel| voxel != 0).count() as i64;
    assert_eq!(polygons.iter().map(|polygon| area(polygon)).sum::<i64>(), 2 * voxels, "{}", name());

    let all: Vec<_> = polygons.iter().map(|polygon| points(polygon)).collect();
    let expected: Vec<u8> = inside.iter().map(|&voxel| u8::from(voxel != 0)).collect();
    assert_eq!(filled(&all, size), expected, "by the even-odd rule of all\n{}", name());
    let mut union = vec![0; inside.len()];
    for polygon in &all {
        union.iter_mut().zip(filled(std::slice::from_ref(polygon), size)).for_each(|(sum, voxel)| *sum += voxel);
    }
    assert_eq!(union, expected, "each for itself, without overlap\n{}", name());
    for (index, &expected) in expected.iter().enumerate() {
        let (i, j) = (index % size[0], index / size[0]);
        let found: i32 = polygons.iter().map(|polygon| windings(polygon, i, j)).sum();
        assert_eq!(found, i32::from(expected), "by windings at {i}, {j}\n{}", name());
    }
}

fn picture(inside: &[u8], [ni, _]: [usize; 2]) -> String {
    let row = |row: &[u8]| row.iter().map(|&voxel| if voxel == 0 { '.' } else { '#' }).collect::<String>();
    inside.chunks(ni).map(row).collect::<Vec<_>>().join("\n")
}

fn drawn(rows: &[&str]) -> (Vec<u8>, [usize; 2]) {
    let inside = rows.iter().flat_map(|row| row.bytes().map(|byte| u8::from(byte == b'#'))).collect();
    (inside, [rows[0].len(), rows.len()])
}

#[test]
fn polygons_pass_half_a_voxel_outside_and_reach_holes_through_keyholes() {
    for (rows, expected) in [
        (&["#"][..], vec![vec![[0, 0], [1, 0], [1, 1], [0, 1]]]),
        (&["....", ".##.", "...."], vec![vec![[1, 1], [3, 1], [3, 2], [1, 2]]]),
        // They touch at a corner, and are two.
        (&["#.", ".#"], vec![vec![[0, 0], [1, 0], [1, 1], [0, 1]], vec![[1, 1], [2, 1], [2, 2], [1, 2]]]),
        (
            &["###", "#.#", "###"],
            vec![vec![[0, 0], [1, 0], [1, 1], [1, 2], [2, 2], [2, 1], [1, 1], [1, 0], [3, 0], [3, 3], [0, 3]]],
        ),
    ] {
        let (inside, size) = drawn(rows);
        let found = polygons(&inside, size);
        check(&inside, size);
        assert_eq!(found, expected, "{rows:?}");
    }
}

#[test]
fn holes_islands_and_corners_in_every_arrangement_fill_the_same_voxels() {
    for rows in [
        &["#####", "#...#", "#.#.#", "#...#", "#####"][..],
        &["#######", "#.....#", "#.###.#", "#.#.#.#", "#.###.#", "#.....#", "#######"],
        // One hole of voxels that touch at a corner, and a ring that is open at a corner.
        &["####", "#.##", "##.#", "####"],
        &["###.", "#.#.", "##..", "...#"],
        &["####", "#..#", "#.#.", "####"],
        // Holes in one column, and at one corner of another.
        &["####", "#.##", "####", "#.##", "####", "#.##", "####"],
        &["######", "#.####", "##.###", "###.##", "####.#", "######"],
        &["#####", "###.#", "##.##", "#.###", "#####"],
        &["#.#.#", ".#.#.", "#.#.#", ".#.#."],
    ] {
        let (inside, size) = drawn(rows);
        check(&inside, size);
    }
    // Every slice of 4 x 4 voxels.
    for bits in 0..1_u32 << 16 {
        let inside: Vec<u8> = (0..16).map(|bit| (bits >> bit & 1) as u8).collect();
        check(&inside, [4, 4]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_slice_comes_back_from_its_polygons(
        ni in 1_usize..24, nj in 1_usize..24, filled in 0_u32..=100, seed in any::<u64>(), flat in 1_usize..4,
    ) {
        let mut random = seed | 1;
        let mut draw = || {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            (random >> 33) % 100 < u64::from(filled)
        };
        // Blocks of `flat` voxels give larger areas.
        let blocks: Vec<bool> = (0..576).map(|_| draw()).collect();
        let inside: Vec<u8> =
            (0..ni * nj).map(|at| u8::from(blocks[at / ni / flat * 24 + at % ni / flat])).collect();
        check(&inside, [ni, nj]);
    }
}

#[test]
fn centres_on_a_contour_belong_to_the_object() {
    let through_centres = vec![vec![[1.0, 1.0], [4.0, 1.0], [4.0, 3.0], [1.0, 3.0]]];
    let (expected, size) = drawn(&["......", ".####.", ".####.", ".####.", "......"]);
    assert_eq!(filled(&through_centres, size), expected);
    // Rounded in a file.
    let rounded = vec![vec![[1.0004, 0.9997], [4.0003, 1.0004], [3.9997, 2.9996], [0.9996, 3.0004]]];
    assert_eq!(filled(&rounded, size), expected);
    // The inner contour of a ring, through the centres of the ring's own voxels.
    let ring = vec![
        vec![[0.0, 0.0], [4.0, 0.0], [4.0, 4.0], [0.0, 4.0]],
        vec![[1.0, 1.0], [1.0, 3.0], [3.0, 3.0], [3.0, 1.0]],
    ];
    let (expected, size) = drawn(&["#####", "#####", "##.##", "#####", "#####"]);
    assert_eq!(filled(&ring, size), expected);
}

#[test]
fn contours_beyond_the_slice_and_of_no_area_are_harmless() {
    let size = [3, 2];
    let around = vec![vec![[-9.0, -9.0], [90.0, -9.0], [90.0, 90.0], [-9.0, 90.0]]];
    assert_eq!(filled(&around, size), [1; 6]);
    for beyond in [[[-5.0, 0.4], [-2.0, 0.4], [-2.0, 1.6]], [[7.0, 0.4], [9.0, 0.4], [9.0, 1.6]]] {
        assert_eq!(filled(&[beyond.to_vec()], size), [0; 6]);
    }
    let vast = vec![vec![[-1e300, -1e300], [1e300, -1e300], [1e300, 1e300], [-1e300, 1e300]]];
    assert_eq!(filled(&vast, size), [1; 6]);
    assert_eq!(filled(&[vec![], vec![[1.3, 0.4]], vec![[0.4, 0.4], [1.6, 0.4]]], size), [0; 6]);
}

#[test]
fn contours_that_are_half_a_voxel_away_give_other_voxels() {
    let (inside, size) = drawn(&["......", ".####.", ".#..#.", ".####.", "......"]);
    let polygons: Vec<_> = polygons(&inside, size).iter().map(|polygon| points(polygon)).collect();
    for shift in [[0.6, 0.0], [0.0, -0.6], [0.5, 0.5]] {
        let moved: Vec<Vec<_>> = polygons
            .iter()
            .map(|polygon| polygon.iter().map(|point| [point[0] + shift[0], point[1] + shift[1]]).collect())
            .collect();
        assert_ne!(filled(&moved, size), inside, "{shift:?}");
    }
}
