//! Which scans a person should look at, and pictures of them.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use segvol::Volume;
use segvol::mask::Mask;
use segvol_overlay::{MAX_OBJECTS, Montage, Object, OverlayError, Picture, View};

use crate::limits::Limits;
use crate::outlier::{Outlier, Scored, scored};
use crate::record::{Done, ObjectRecord, Record};

/// A scan that is worth a look.
#[derive(Debug, Clone)]
pub struct Pick<'a> {
    /// The scan.
    pub record: &'a Record,
    /// What was found in it.
    pub done: &'a Done,
    /// How many warnings it has, with those of its objects.
    pub warnings: usize,
    /// Its masks with strange volumes, by object.
    pub outliers: Vec<Outlier>,
    /// The largest score of its masks, without its sign; 0 if none has one.
    pub score: f64,
}

/// An object of a picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its value in a label map.
    pub label: usize,
    /// What is strange about it; empty if nothing is.
    pub note: String,
}

/// The scans that are most worth a look, at most `count`: those with the most warnings (the scan's and its objects'), then those
/// with the most volumes outside of limits, then those with the strangest volume, then by id. Scans that failed have nothing to look
/// at.
#[must_use]
pub fn strangest<'a>(records: &'a [Record], limits: &Limits, count: usize) -> Vec<Pick<'a>> {
    let mut of_scan: BTreeMap<&str, Vec<Scored<'_>>> = BTreeMap::new();
    for mask in scored(records, limits) {
        of_scan.entry(mask.id).or_default().push(mask);
    }
    let done = records.iter().filter_map(|record| Some((record, record.done()?)));
    let mut picks: Vec<Pick<'_>> = done
        .map(|(record, done)| {
            let masks = of_scan.get(record.id.as_str()).map_or(&[][..], Vec::as_slice);
            let of_objects = done.objects.iter().map(|object| object.warnings.len()).sum::<usize>();
            Pick {
                record,
                done,
                warnings: done.warnings.len() + of_objects,
                outliers: masks.iter().filter_map(Scored::outlier).collect(),
                score: masks.iter().filter_map(|mask| mask.score).map(f64::abs).fold(0.0, f64::max),
            }
        })
        .collect();
    let outside = |pick: &Pick<'_>| pick.outliers.iter().filter(|outlier| outlier.outside.is_some()).count();
    picks.sort_by(|a, b| {
        let counts = |pick: &Pick<'_>| Reverse((pick.warnings, outside(pick)));
        counts(a).cmp(&counts(b)).then(b.score.total_cmp(&a.score)).then_with(|| a.record.id.cmp(&b.record.id))
    });
    picks.truncate(count);
    picks
}

impl<'a> Pick<'a> {
    /// Why the scan is worth a look, in one line; empty if nothing is strange.
    #[must_use]
    pub fn caption(&self) -> String {
        let of_scan = self.done.warnings.iter().map(|warning| warning.code.name().to_owned());
        let of_objects = self.done.objects.iter().map(|object| (object.name.as_str(), self.note(object)));
        let of_objects = of_objects.filter(|(_, note)| !note.is_empty()).map(|(name, note)| format!("{name}: {note}"));
        of_scan.chain(of_objects).collect::<Vec<_>>().join("; ")
    }

    /// The objects that a picture shows, at most `most` and [`MAX_OBJECTS`]: those with warnings or strange volumes first, otherwise
    /// by label.
    #[must_use]
    pub fn objects(&self, most: usize) -> Vec<Shown<'a>> {
        let shown =
            |object: &'a ObjectRecord| Shown { name: &object.name, label: object.label, note: self.note(object) };
        let mut objects: Vec<Shown<'a>> = self.done.objects.iter().map(shown).collect();
        objects.sort_by_key(|object| (object.note.is_empty(), object.label));
        objects.truncate(most.min(MAX_OBJECTS));
        objects
    }

    /// What is strange about an object.
    fn note(&self, object: &ObjectRecord) -> String {
        let outliers = self.outliers.iter().filter(|outlier| outlier.object == object.name);
        let codes = object.warnings.iter().map(|warning| warning.code.name().to_owned());
        outliers
            .map(|outlier| format!("{} mL, {}", crate::summary_table::millilitres(outlier.volume_ml), outlier.reason()))
            .chain(codes)
            .collect::<Vec<_>>()
            .join(", ")
    }
}

/// A picture of a scan with the outlines of these objects, a row for each.
///
/// `mask` gives a label map on the scan's grid, and the object's value in it. It is called for one object after the other, and only
/// the outlines are kept, so that never more than one mask needs memory.
///
/// # Errors
///
/// What `mask` says; [`OverlayError::Grid`] if a mask is not on the scan's grid; [`OverlayError::TooMany`] for more than
/// [`MAX_OBJECTS`] objects; [`OverlayError::Memory`].
pub fn draw<E: From<OverlayError>>(
    volume: &Volume,
    objects: &[Shown<'_>],
    view: View,
    mut mask: impl FnMut(&Shown<'_>) -> Result<(Arc<Mask>, u16), E>,
) -> Result<Picture, E> {
    let mut montage = Montage::new(volume.grid(), view);
    for object in objects {
        let (mask, label) = mask(object)?;
        let (name, note) = (object.name, object.note.as_str());
        montage.add(Object { name, mask: (&mask, label), marks: &Default::default(), truth: None, note })?;
    }
    Ok(montage.draw(volume)?)
}

#[cfg(test)]
mod tests {
    use segvol::WarningCode;
    use segvol::volume::Affine;

    use super::*;
    use crate::testing::{done, failed, livers, object, warn_of_object, warn_of_scan};

    fn ids<'a>(picks: &[Pick<'a>]) -> Vec<&'a str> {
        picks.iter().map(|pick| pick.record.id.as_str()).collect()
    }

    #[test]
    fn warnings_come_first_then_volumes_then_ids() {
        let mut volumes = [1000.0; 12];
        (volumes[2], volumes[7], volumes[9]) = (1500.0, 10.0, 1011.0);
        let mut records = livers(&volumes);
        records.push(failed("s99"));
        warn_of_scan(&mut records[4], WarningCode::AffineMissing);
        warn_of_object(&mut records[4], 0, WarningCode::UnitUnknown);
        warn_of_object(&mut records[8], 0, WarningCode::UnitUnknown);
        let limits = Limits::default();
        assert_eq!(ids(&strangest(&records, &limits, 7)), ["s04", "s08", "s07", "s02", "s09", "s00", "s01"]);
        assert_eq!(strangest(&records, &limits, 99).len(), 12, "a scan that failed cannot be drawn");
        assert_eq!(ids(&strangest(&records, &limits, 0)), Vec::<&str>::new());
        // What a user knows to be wrong comes before what is only unlike the rest.
        let limits = Limits::parse("{\"liver\": [5, 1400]}", &["liver"]).expect("limits");
        let picks = strangest(&records, &limits, 4);
        assert_eq!(ids(&picks), ["s04", "s08", "s02", "s07"]);
        assert_eq!(picks[0].caption(), "affine_missing; liver: unit_unknown");
        assert!(picks[2].caption().starts_with("liver: 1500 mL, above 1400 mL, "), "{}", picks[2].caption());
    }

    #[test]
    fn strange_objects_are_drawn_first_and_never_too_many() {
        let objects = (0..80).map(|n| object(&format!("o{n}"), n + 1, 5, 1.0)).collect();
        let mut records = vec![done("a", objects)];
        warn_of_object(&mut records[0], 70, WarningCode::UnitUnknown);
        let limits = Limits::parse("{\"o75\": [2, 3]}", &["o75"]).expect("limits");
        let picks = strangest(&records, &limits, 1);
        let shown = picks[0].objects(usize::MAX);
        assert_eq!(shown.len(), MAX_OBJECTS);
        let names: Vec<&str> = shown.iter().map(|object| object.name).collect();
        assert_eq!(names[..4], ["o70", "o75", "o0", "o1"]);
        let notes: Vec<&str> = shown.iter().map(|object| object.note.as_str()).collect();
        assert_eq!(notes[..3], ["unit_unknown", "1.00 mL, below 2 mL", ""]);
        assert_eq!(picks[0].objects(2).len(), 2);
    }

    #[test]
    fn a_picture_shows_the_masks_that_it_is_given() {
        let affine = Affine::new([[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]]);
        let volume = Volume::new([20, 20, 10], vec![0.0; 4000], affine).expect("a volume");
        let inside = |n: usize| (5..15).contains(&(n % 20)) && (5..15).contains(&(n / 20 % 20));
        let labels: Vec<u8> = (0..4000).map(|n| u8::from(inside(n)) * 3).collect();
        let map = Arc::new(Mask::from_labels(labels, Arc::clone(volume.grid())).expect("a mask"));
        let shown = |label| [Shown { name: "liver", label, note: String::new() }];
        let drawn = |label: usize| {
            draw::<OverlayError>(&volume, &shown(label), View::default(), |object| {
                Ok((Arc::clone(&map), object.label as u16))
            })
        };
        let (with, without) = (drawn(3).expect("a picture"), drawn(1).expect("a picture"));
        assert_ne!(with, without, "the outline is in the picture");
        assert_eq!(with, drawn(3).expect("a picture"));
        let error = draw(&volume, &shown(3), View::default(), |_| Err(OverlayError::TooMany { most: 7 }));
        assert!(matches!(error, Err(OverlayError::TooMany { most: 7 })), "{error:?}");
    }
}
