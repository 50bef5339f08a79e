//! Interactions, and the prompt that they are together.

use serde_json::{Value, json};

/// What one interaction says. Indices are along the axes of the array.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Given {
    /// Voxels that all belong to the object, or all do not.
    Points { at: Vec<[usize; 3]>, inside: bool },
    /// A box around the object, both corners inclusive.
    Box { low: [usize; 3], high: [usize; 3] },
}

/// The most points of one object. Far fewer say all that SegVol can use.
pub(super) const MAX_POINTS: usize = 500;

/// The document with all interactions as one object: all points, and the last box. Without interactions, it has no object.
pub(super) fn document<'a>(given: impl Iterator<Item = &'a Given>) -> Value {
    // The last axis of the array is the first one of the scan.
    let voxel = |[k, j, i]: [usize; 3]| [i, j, k];
    let (mut points, mut around) = (Vec::new(), None);
    for given in given {
        match given {
            Given::Points { at, inside } => points.extend(at.iter().map(|&at| {
                let [i, j, k] = voxel(at);
                json!([i, j, k, u8::from(*inside)])
            })),
            Given::Box { low, high } => around = Some([voxel(*low), voxel(*high)].concat()),
        }
    }
    let mut objects = Vec::new();
    if !points.is_empty() || around.is_some() {
        let mut object = json!({ "name": "object" });
        if !points.is_empty() {
            object["points"] = points.into();
        }
        if let Some(around) = around {
            object["box"] = around.into();
        }
        objects.push(object);
    }
    json!({ "schema_version": 1, "space": "voxel", "objects": objects })
}

/// Whether these interactions say where the object is, and not only where it is not.
pub(super) fn says_where<'a>(mut given: impl Iterator<Item = &'a Given>) -> bool {
    given.any(|given| !matches!(given, Given::Points { inside: false, .. }))
}

/// The number of points of these interactions.
pub(super) fn points<'a>(given: impl Iterator<Item = &'a Given>) -> usize {
    given.map(|given| if let Given::Points { at, .. } = given { at.len() } else { 0 }).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interactions_are_one_object_with_all_points_and_the_last_box() {
        let given = [
            Given::Points { at: vec![[1, 2, 3]], inside: true },
            Given::Box { low: [0, 0, 0], high: [9, 9, 9] },
            Given::Points { at: vec![[4, 5, 6], [7, 8, 9]], inside: false },
            Given::Box { low: [1, 2, 3], high: [1, 5, 6] },
        ];
        let text = r#"{"schema_version":1,"space":"voxel","objects":[{"name":"object","points":[[3,2,1,1],[6,5,4,0],[9,8,7,0]],
            "box":[3,2,1,6,5,1]}]}"#;
        let expected: Value = serde_json::from_str(text).expect("JSON");
        assert_eq!(document(given.iter()), expected);
        assert!(segvol::parse_prompts(&document(given.iter()).to_string()).is_ok());
        assert_eq!(points(given.iter()), 3);
        assert!(says_where(given.iter()) && says_where(given[1..2].iter()) && !says_where(given[2..3].iter()));
    }

    #[test]
    fn without_interactions_there_is_no_object() {
        assert_eq!(document([].iter()), *crate::session::Objects::none().document);
    }
}
