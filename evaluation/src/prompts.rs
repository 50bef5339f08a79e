//! Prompts that a user who knows the truth would give: the structure's name, its exact box, random points in it.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use segvol::{PointLabel, Prompt};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::cases::Case;

/// A kind of prompt: name, box, points, or two of these together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Kind {
    /// The structure's name.
    #[serde(rename = "text")]
    Text,
    /// The truth's bounding box.
    #[serde(rename = "box")]
    Box,
    /// Random voxels of the truth.
    #[serde(rename = "points")]
    Points,
    /// Name and box.
    #[serde(rename = "text+box")]
    TextBox,
    /// Name and points.
    #[serde(rename = "text+points")]
    TextPoints,
}

impl Kind {
    /// All kinds, in the order of tables.
    pub const ALL: [Self; 5] = [Self::Text, Self::Box, Self::Points, Self::TextBox, Self::TextPoints];

    /// The word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Box => "box",
            Self::Points => "points",
            Self::TextBox => "text+box",
            Self::TextPoints => "text+points",
        }
    }

    fn has_text(self) -> bool {
        matches!(self, Self::Text | Self::TextBox | Self::TextPoints)
    }

    fn has_box(self) -> bool {
        matches!(self, Self::Box | Self::TextBox)
    }

    fn has_points(self) -> bool {
        matches!(self, Self::Points | Self::TextPoints)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let names = || Self::ALL.map(Self::name).join(", ");
        Self::ALL
            .into_iter()
            .find(|kind| kind.name() == text)
            .ok_or_else(|| format!("expected one of {}, found `{text}`", names()))
    }
}

/// The texts that prompts of these kinds have, each once: the names of all structures, if a kind has text.
#[must_use]
pub fn texts<'a>(cases: &'a [Case], kinds: &[Kind]) -> BTreeSet<&'a str> {
    let has_text = kinds.iter().any(|kind| kind.has_text());
    let structures = cases.iter().filter(|_| has_text).flat_map(|case| case.structures.iter());
    structures.map(|structure| structure.name.as_str()).collect()
}

/// The voxels of a structure, which is not empty, as far as prompts need them.
pub(crate) struct Target<'a> {
    /// The structure's name.
    pub(crate) name: &'a str,
    /// Whether each voxel belongs to it, i fastest, then j, k.
    pub(crate) voxels: &'a [bool],
    /// Voxels along i, j, k.
    pub(crate) shape_xyz: [usize; 3],
    /// Least and greatest voxel `(i, j, k)`, inclusive.
    pub(crate) bounds: ([usize; 3], [usize; 3]),
    /// How many voxels belong to it.
    pub(crate) count: u64,
}

/// Where random draws begin.
pub(crate) struct Draw<'a> {
    pub(crate) seed: u64,
    pub(crate) case: &'a str,
    pub(crate) points: usize,
}

/// The prompt of one kind, in voxels of the file.
///
/// The points are the same in every kind that has points, so that kinds are compared on equal clicks. They are distinct,
/// and all of the structure's voxels where it has no more than are asked for.
pub(crate) fn prompt(kind: Kind, target: &Target<'_>, draw: &Draw<'_>) -> Prompt {
    let mut prompt = Prompt::new().named(target.name);
    if kind.has_text() {
        prompt = prompt.with_text(target.name);
    }
    if kind.has_box() {
        let (min, max) = target.bounds;
        prompt = prompt.bounding_box(min.map(|c| c as f64), max.map(|c| c as f64));
    }
    if kind.has_points() {
        for ijk in points(target, draw) {
            prompt = prompt.point(ijk.map(|c| c as f64), PointLabel::Foreground);
        }
    }
    prompt
}

/// Voxels at random ranks in the order of the file.
fn points(target: &Target<'_>, draw: &Draw<'_>) -> Vec<[usize; 3]> {
    let ranks = ranks(target.name, target.count, draw);
    let mut places = vec![0; ranks.len()];
    let inside = target.voxels.iter().enumerate().filter(|&(_, &inside)| inside).map(|(index, _)| index);
    let mut sought: Vec<(u64, usize)> = ranks.iter().copied().zip(0..).collect();
    sought.sort_unstable();
    let mut sought = sought.into_iter().peekable();
    for (rank, index) in (0..).zip(inside) {
        match sought.next_if(|&(next, _)| next == rank) {
            Some((_, place)) => places[place] = index,
            None if sought.peek().is_none() => break,
            None => {}
        }
    }
    let [ni, nj, _] = target.shape_xyz;
    places.into_iter().map(|index| [index % ni, index / ni % nj, index / (ni * nj)]).collect()
}

/// Distinct ranks below `count`: draw `n` is the first eight bytes (little-endian) of the SHA-256 of
/// `segvol-eval points`, the seed, the case's and the structure's names and `n`, scaled down to `count`; repeated ranks
/// are drawn again. No other case, structure or order of work has a say in it.
fn ranks(structure: &str, count: u64, draw: &Draw<'_>) -> Vec<u64> {
    let wanted = draw.points.min(usize::try_from(count).unwrap_or(usize::MAX));
    if wanted as u64 == count {
        return (0..count).collect();
    }
    let mut begin = Sha256::new_with_prefix(b"segvol-eval points");
    begin.update(draw.seed.to_le_bytes());
    for name in [draw.case, structure] {
        begin.update((name.len() as u64).to_le_bytes());
        begin.update(name);
    }
    let mut ranks = Vec::with_capacity(wanted);
    let mut number = 0_u64;
    while ranks.len() < wanted {
        let hash = begin.clone().chain_update(number.to_le_bytes()).finalize();
        let value = hash.iter().take(8).rev().fold(0_u64, |value, &byte| value << 8 | u64::from(byte));
        let rank = ((u128::from(value) * u128::from(count)) >> 64) as u64;
        if !ranks.contains(&rank) {
            ranks.push(rank);
        }
        number += 1;
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: [usize; 3] = [5, 4, 3];

    /// Voxels whose index is a multiple of 3, of 60.
    fn thirds() -> Vec<bool> {
        (0..60).map(|index| index % 3 == 0).collect()
    }

    fn draw(seed: u64, case: &str, points: usize) -> Draw<'_> {
        Draw { seed, case, points }
    }

    fn target(voxels: &[bool]) -> Target<'_> {
        let count = voxels.iter().filter(|&&inside| inside).count() as u64;
        Target { name: "liver", voxels, shape_xyz: SHAPE, bounds: ([0, 0, 0], [4, 3, 2]), count }
    }

    #[test]
    fn points_are_distinct_voxels_of_the_truth() {
        let voxels = thirds();
        for seed in 0..50 {
            let found = points(&target(&voxels), &draw(seed, "a", 5));
            let mut indices: Vec<usize> = found.iter().map(|[i, j, k]| (k * 4 + j) * 5 + i).collect();
            assert!(indices.iter().all(|index| index % 3 == 0), "{indices:?}");
            indices.sort_unstable();
            indices.dedup();
            assert_eq!(indices.len(), 5);
        }
        assert_eq!(points(&target(&voxels), &draw(0, "a", 100)).len(), 20);
    }

    /// Another program computed these: they may never change, or a resumed run mixes two draws.
    #[test]
    fn ranks_are_a_formula_of_seed_case_and_structure() {
        // Python: h = hashlib.sha256(b"segvol-eval points" + pack("<Q", seed) + pack("<Q", len(c)) + c + ...)
        assert_eq!(ranks("liver", 1000, &draw(0, "a", 5)), RANKS_OF_SEED_0);
        for (structure, other) in [("liver", draw(1, "a", 5)), ("liver", draw(0, "b", 5)), ("spleen", draw(0, "a", 5))]
        {
            assert_ne!(ranks(structure, 1000, &other), RANKS_OF_SEED_0);
        }
        // More points only add to fewer.
        assert_eq!(ranks("liver", 1000, &draw(0, "a", 9))[..5], RANKS_OF_SEED_0);
    }

    const RANKS_OF_SEED_0: [u64; 5] = [946, 743, 540, 305, 662];

    #[test]
    fn every_rank_is_as_likely() {
        let mut drawn = [0; 20];
        for seed in 0..4000 {
            for rank in ranks("liver", 20, &draw(seed, "a", 5)) {
                drawn[rank as usize] += 1;
            }
        }
        // 1000 each, with a deviation below 28.
        assert!(drawn.iter().all(|&times| (860..1140).contains(&times)), "{drawn:?}");
    }

    #[test]
    fn kinds_hold_what_they_say() {
        let voxels = thirds();
        let shown = |kind| format!("{:?}", prompt(kind, &target(&voxels), &draw(0, "a", 2)));
        for kind in Kind::ALL {
            let shown = shown(kind);
            assert_eq!(shown.contains("text: Some(\"liver\")"), kind.name().contains("text"), "{shown}");
            assert_eq!(shown.contains("max: [4.0, 3.0, 2.0]"), kind.name().contains("box"), "{shown}");
            assert_eq!(shown.matches("Foreground").count(), if kind.name().contains("points") { 2 } else { 0 });
            assert_eq!(kind.name().parse(), Ok(kind));
        }
        assert!("click".parse::<Kind>().expect_err("no kind").contains("text+box"));
    }
}
