//! The objects with the lowest Dice, with pictures.
//!
//! Which objects are the worst is known only at the end. So the pictures of those that are among the worst so far are kept while
//! cases are scored. What a work file resumed has no picture; such objects are segmented again at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use segvol::Volume;
use segvol::mask::Mask;
use segvol::metrics::{Scores, dice};
use segvol_overlay::{Montage, Object, View};

use crate::cases::Case;
use crate::prompts::Kind;
use crate::results::{Results, Row};
use crate::run::Evaluation;
use crate::score::{Found, INSIDE, Watcher};

/// An object with a low Dice.
#[derive(Debug, Clone, PartialEq)]
pub struct WorstObject {
    /// The case's name.
    pub case: String,
    /// The structure.
    pub structure: String,
    /// The kind of prompt.
    pub prompt: Kind,
    /// Scores of the final mask.
    pub scores: Scores,
    /// A PNG with slices through it, its contour and the truth; or why there is none.
    pub picture: Result<Vec<u8>, String>,
}

/// The objects with the lowest Dice, lowest first: of each object, the kind of prompt with its lowest. At equal Dice, the order
/// is that of cases, structures and kinds.
#[must_use]
pub fn worst(results: &Results, count: usize) -> Vec<(&str, &Row)> {
    let mut of_object: BTreeMap<(usize, &str), Ranked<&Row>> = BTreeMap::new();
    for (case, result) in results.cases.iter().enumerate() {
        for row in result.rows.iter().filter(|row| row.truth_voxels > 0) {
            let structure = row.structure.clone();
            let key = Key { dice: row.zoom_in.dice, case, value: row.value, structure, prompt: row.prompt };
            let better = of_object.get(&(case, row.structure.as_str())).is_some_and(|other| other.key <= key);
            if !better {
                of_object.insert((case, &row.structure), Ranked { key, of: row });
            }
        }
    }
    let mut all: Vec<Ranked<&Row>> = of_object.into_values().collect();
    all.sort_by(|a, b| a.key.total_order(&b.key));
    all.truncate(count);
    all.into_iter().map(|one| (results.cases[one.key.case].case.as_str(), one.of)).collect()
}

/// What objects are ordered by.
#[derive(Clone, PartialEq, PartialOrd)]
struct Key {
    dice: f64,
    case: usize,
    value: u16,
    /// Structures with files of their own have no value.
    structure: String,
    prompt: Kind,
}

impl Key {
    fn total_order(&self, other: &Self) -> std::cmp::Ordering {
        let place = |key: &Self| (key.case, key.value);
        let place = || place(self).cmp(&place(other));
        let named = || self.structure.cmp(&other.structure).then(self.prompt.cmp(&other.prompt));
        self.dice.total_cmp(&other.dice).then_with(place).then_with(named)
    }

    /// Whether both are about one object.
    fn is_of_same_object(&self, other: &Self) -> bool {
        (self.case, &self.structure) == (other.case, &other.structure)
    }
}

struct Ranked<T> {
    key: Key,
    of: T,
}

/// Keeps the pictures of the worst objects so far.
pub struct WorstPictures {
    count: usize,
    view: View,
    cases: BTreeMap<String, usize>,
    kept: Mutex<Vec<Ranked<Vec<u8>>>>,
}

impl WorstPictures {
    /// Pictures of at most `count` objects of `cases`.
    #[must_use]
    pub fn new(count: usize, view: View, cases: &[Case]) -> Self {
        let cases = cases.iter().enumerate().map(|(index, case)| (case.name.clone(), index)).collect();
        Self { count, view, cases, kept: Mutex::default() }
    }

    /// The worst objects of the results, lowest Dice first. Those without a picture, because a work file had their scores, are
    /// segmented again by `evaluation`; if that fails, the object says why.
    #[must_use]
    pub fn finish(&self, results: &Results, evaluation: &Evaluation<'_>, cases: &[Case]) -> Vec<WorstObject> {
        let worst = worst(results, self.count);
        let key = |case: &str, row: &Row| (case.to_owned(), row.structure.clone(), row.prompt);
        let mut pictures: BTreeMap<(String, String, Kind), Result<Vec<u8>, String>> = BTreeMap::new();
        let mut missing: BTreeMap<usize, BTreeSet<(String, Kind)>> = BTreeMap::new();
        for (case, row) in &worst {
            let Some(&index) = self.cases.get(*case) else { continue };
            let is_of = |key: &Key| (key.case, &key.structure, key.prompt) == (index, &row.structure, row.prompt);
            match self.kept().iter().find(|one| is_of(&one.key)) {
                Some(one) => {
                    pictures.insert(key(case, row), Ok(one.of.clone()));
                }
                None => {
                    missing.entry(index).or_default().insert((row.structure.clone(), row.prompt));
                }
            }
        }
        for (index, objects) in missing {
            let Some(case) = cases.get(index) else { continue };
            let drawn = Drawn { view: self.view, objects: &objects, pictures: Mutex::default() };
            let result = evaluation.show(case, &objects, &drawn).map_err(|error| error.to_string());
            let mut of_case = drawn.pictures.into_inner().unwrap_or_else(PoisonError::into_inner);
            for (structure, kind) in &objects {
                let picture = of_case.remove(&(structure.clone(), *kind)).map_or_else(
                    || Err(result.clone().err().unwrap_or_else(|| "the object was not found again".to_owned())),
                    Ok,
                );
                pictures.insert((case.name.clone(), structure.clone(), *kind), picture);
            }
        }
        worst
            .into_iter()
            .map(|(case, row)| WorstObject {
                case: case.to_owned(),
                structure: row.structure.clone(),
                prompt: row.prompt,
                scores: row.zoom_in,
                picture: pictures
                    .remove(&key(case, row))
                    .unwrap_or_else(|| Err("its case is not in the list".to_owned())),
            })
            .collect()
    }

    fn kept(&self) -> MutexGuard<'_, Vec<Ranked<Vec<u8>>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether an object with this key is among the worst so far.
    fn counts(&self, key: &Key) -> bool {
        let kept = self.kept();
        let same = kept.iter().find(|one| one.key.is_of_same_object(key));
        match (same, kept.last()) {
            (Some(same), _) => key.total_order(&same.key).is_lt(),
            (None, Some(last)) if kept.len() >= self.count => key.total_order(&last.key).is_lt(),
            _ => self.count > 0,
        }
    }
}

impl Watcher for WorstPictures {
    fn object(&self, found: &Found<'_>) -> Result<(), String> {
        let Some(&case) = self.cases.get(&found.case.name) else { return Ok(()) };
        let inside = |mask: &Mask, label: u16| mask.voxels_of(label).map_err(|error| error.to_string());
        let (mask, truth) = (inside(found.zoom_in, INSIDE)?, inside(found.truth, found.truth_label)?);
        if !truth.contains(&true) {
            return Ok(());
        }
        let dice = dice(&mask, &truth, |&inside| inside, |&inside| inside);
        let (value, structure) = (found.structure.value, found.structure.name.clone());
        let key = Key { dice, case, value, structure, prompt: found.kind };
        if !self.counts(&key) {
            return Ok(());
        }
        let picture = picture(found, self.view)?;
        let mut kept = self.kept();
        kept.retain(|one| !one.key.is_of_same_object(&key) || one.key.total_order(&key).is_lt());
        kept.push(Ranked { key, of: picture });
        kept.sort_by(|a, b| a.key.total_order(&b.key));
        kept.truncate(self.count);
        Ok(())
    }

    fn case(&self, _case: &Case, _volume: &Volume) -> Result<(), String> {
        Ok(())
    }
}

/// Draws certain objects of one case.
struct Drawn<'a> {
    view: View,
    objects: &'a BTreeSet<(String, Kind)>,
    pictures: Mutex<BTreeMap<(String, Kind), Vec<u8>>>,
}

impl Watcher for Drawn<'_> {
    fn object(&self, found: &Found<'_>) -> Result<(), String> {
        let key = (found.structure.name.clone(), found.kind);
        if self.objects.contains(&key) {
            let picture = picture(found, self.view)?;
            self.pictures.lock().unwrap_or_else(PoisonError::into_inner).insert(key, picture);
        }
        Ok(())
    }

    fn case(&self, _case: &Case, _volume: &Volume) -> Result<(), String> {
        Ok(())
    }
}

/// A close view of one object, as PNG.
fn picture(found: &Found<'_>, view: View) -> Result<Vec<u8>, String> {
    let mut montage = Montage::new(found.volume.grid(), view).close_up();
    let object = Object {
        name: &found.structure.name,
        mask: (found.zoom_in, INSIDE),
        marks: &found.marks,
        truth: Some((found.truth, found.truth_label)),
        note: "",
    };
    montage.add(object).map_err(|error| error.to_string())?;
    let picture = montage.draw(found.volume).map_err(|error| error.to_string())?;
    picture.to_png().map_err(|error| error.to_string())
}

/// Shows every object to several watchers, in this order.
pub struct Watchers<'a>(pub Vec<&'a dyn Watcher>);

impl Watcher for Watchers<'_> {
    fn object(&self, found: &Found<'_>) -> Result<(), String> {
        self.0.iter().try_for_each(|watcher| watcher.object(found))
    }

    fn case(&self, case: &Case, volume: &Volume) -> Result<(), String> {
        self.0.iter().try_for_each(|watcher| watcher.case(case, volume))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::summary::tests::results;

    #[test]
    fn the_worst_prompt_of_each_object_counts_once() {
        let mut results = results();
        results.header.settings.prompts = vec![Kind::Text, Kind::Box];
        let mut boxed = results.cases[0].rows[0].clone();
        boxed.prompt = Kind::Box;
        boxed.zoom_in.dice = 0.25;
        results.cases[0].rows.push(boxed);
        let named = |count: usize| -> Vec<(String, Kind, f64)> {
            let of = |(case, row): (&str, &Row)| (case.to_owned(), row.prompt, row.zoom_in.dice);
            worst(&results, count).into_iter().map(of).collect()
        };
        // The absent spleen of the second case is no object.
        assert_eq!(named(9), [("b, \"late\"".to_owned(), Kind::Text, 0.0), ("a".to_owned(), Kind::Box, 0.25)]);
        assert_eq!(named(1).len(), 1);
        assert_eq!(named(0), []);
    }
}
