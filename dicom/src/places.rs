//! Numbers and differences in words.

use std::collections::BTreeMap;

use segvol_base::printable;

use crate::image::Frame;

/// Most different values that are listed.
const SHOWN: usize = 6;

/// A number with at most three decimals: `61.5`.
pub(crate) fn mm(number: f64) -> String {
    let text = format!("{number:.3}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

pub(crate) fn joined(numbers: &[String]) -> String {
    numbers.join(", ")
}

/// Gaps with how often each occurs: `4 mm (2 times), 1.08 mm`.
pub(crate) fn gaps_listed(gaps: &[f64]) -> String {
    let mut counts: Vec<(String, usize)> = Vec::new();
    for gap in gaps {
        let shown = mm((gap * 100.0).round() / 100.0);
        let more = counts.len() < 16;
        match counts.iter_mut().find(|(text, _)| *text == shown) {
            Some((_, count)) => *count += 1,
            None if more => counts.push((shown, 1)),
            None => {}
        }
    }
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let listed = counts.iter().take(SHOWN).map(|(gap, count)| match count {
        1 => format!("{gap} mm"),
        count => format!("{gap} mm ({count} times)"),
    });
    let listed: Vec<String> = listed.collect();
    format!("{}{}", listed.join(", "), if counts.len() > SHOWN { ", …" } else { "" })
}

/// The attributes that differ among images and so may explain why they are not one stack: `; Acquisition Number differs: 12, 13`.
/// Empty if there is none.
pub(crate) fn what_differs(frames: &[&Frame]) -> String {
    let mut values: BTreeMap<&str, Vec<(String, usize)>> = BTreeMap::new();
    let mut add = |name: &'static str, value: String| {
        let known = values.entry(name).or_default();
        let more = known.len() < 16;
        match known.iter_mut().find(|(text, _)| *text == value) {
            Some((_, count)) => *count += 1,
            None if more => known.push((value, 1)),
            None => {}
        }
    };
    for frame in frames {
        add("Image Type", frame.image_type.clone());
        if let Some(thickness) = frame.thickness {
            add("Slice Thickness", format!("{} mm", mm(thickness)));
        }
        frame.marks.iter().for_each(|(name, value)| add(name, value.clone()));
    }
    // One value for each image, as an Acquisition Number of each slice, explains nothing unless there are few.
    let several = values.iter().filter(|(_, values)| (2..16).contains(&values.len()));
    let told = several.map(|(name, values)| {
        let shown = values.iter().take(SHOWN).map(|(value, count)| format!("{} ({count} images)", printable(value)));
        let shown: Vec<String> = shown.map(|text| text.replace("(1 images)", "(1 image)")).collect();
        format!("; {name} differs: {}{}", shown.join(", "), if values.len() > SHOWN { ", …" } else { "" })
    });
    told.collect()
}
