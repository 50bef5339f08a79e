//! Limits of volumes, as a user writes them down.

use std::collections::BTreeMap;

use segvol_base::json::{At, Document, JsonError};

use crate::record::Record;

/// For each object the smallest and the largest volume that is expected, in millilitres, both inclusive.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Limits(BTreeMap<String, [f64; 2]>);

impl Limits {
    /// Reads limits such as `{"liver": [500, 3000], "spleen": [50, 600]}`. `known` are the names of the cohort's objects.
    ///
    /// # Errors
    ///
    /// [`JsonError`], with the place of the mistake, also for an object that the cohort does not have.
    pub fn parse(text: &str, known: &[&str]) -> Result<Self, JsonError> {
        let document = Document::parse(text)?;
        let root = document.root();
        let expected = "an object with limits in mL for each name, for example {\"liver\": [500, 3000]}";
        let given = root.entries(expected)?;
        if known.is_empty() && given.len() > 0 {
            return Err(root.refuse("an object without fields, because the cohort has no masks"));
        }
        root.fields(expected, known, |_| false)?;
        let limits = given.map(|(name, value)| Ok((name.to_owned(), ends(&value)?)));
        Ok(Self(limits.collect::<Result<_, JsonError>>()?))
    }

    /// The limits of an object, if it has any.
    #[must_use]
    pub fn of(&self, object: &str) -> Option<[f64; 2]> {
        self.0.get(object).copied()
    }
}

fn ends(value: &At<'_>) -> Result<[f64; 2], JsonError> {
    let expected = "the smallest and the largest volume in mL, for example [500, 3000]";
    match value.numbers(2..=2, expected)?[..] {
        [low, high] if 0.0 <= low && low <= high => Ok([low, high]),
        [low, high] => Err(value.refuse_as(expected, format!("[{low}, {high}]"))),
        _ => Err(value.refuse(expected)),
    }
}

/// The names of the objects that have masks, each once: by label, and by name where labels are equal.
#[must_use]
pub fn object_names(records: &[Record]) -> Vec<&str> {
    let mut first: BTreeMap<&str, usize> = BTreeMap::new();
    for object in records.iter().filter_map(Record::done).flat_map(|done| &done.objects) {
        first.entry(&object.name).and_modify(|label| *label = object.label.min(*label)).or_insert(object.label);
    }
    let mut names: Vec<&str> = first.keys().copied().collect();
    names.sort_by_key(|name| (first[name], *name));
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{done, failed, object};

    #[test]
    fn limits_are_read() {
        let text = "{\"liver\": [500, 3000], \"left kidney\": [0, 0.5]}";
        let limits = Limits::parse(text, &["liver", "spleen", "left kidney"]).expect("limits");
        assert_eq!(limits.of("liver"), Some([500.0, 3000.0]));
        assert_eq!(limits.of("left kidney"), Some([0.0, 0.5]));
        assert_eq!(limits.of("spleen"), None);
        assert_eq!(Limits::parse("{}", &[]), Ok(Limits::default()));
    }

    #[test]
    fn mistakes_are_named() {
        let known = ["liver", "spleen"];
        for (text, words) in [
            (
                "{\"lever\": [1, 2]}",
                "expected only the fields `liver`, `spleen`; found the field `lever` (did you mean `liver`?)",
            ),
            (
                "{\"liver\": [3000, 500]}",
                "`liver`: expected the smallest and the largest volume in mL, for example [500, 3000]; found [3000, 500]",
            ),
            ("{\"liver\": [-1, 500]}", "`liver`: expected the smallest"),
            ("{\"liver\": [1]}", "found a list of 1 value"),
            ("{\"liver\": [1, \"2\"]}", "a number has no quotes"),
            ("{\"liver\": 3}", "`liver`: expected the smallest"),
            ("[1, 2]", "expected an object with limits in mL for each name"),
            ("{\"liver\": [1, 2], \"liver\": [1, 3]}", "liver"),
            ("{'liver': [1, 2]}", "line 1"),
        ] {
            let error = Limits::parse(text, &known).expect_err(text).to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
        let error = Limits::parse("{\"liver\": [1, 2]}", &[]).expect_err("no masks").to_string();
        assert!(error.contains("the cohort has no masks"), "{error}");
    }

    #[test]
    fn names_are_ordered_by_their_first_label() {
        let records = [
            done("a", vec![object("spleen", 2, 5, 1.0), object("liver", 3, 5, 1.0)]),
            failed("b"),
            done("c", vec![object("liver", 1, 0, 0.0), object("aorta", 2, 5, 1.0)]),
        ];
        assert_eq!(object_names(&records), ["liver", "aorta", "spleen"]);
        assert!(object_names(&[failed("b")]).is_empty());
    }
}
