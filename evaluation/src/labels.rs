//! What distinguishes several results of one evaluation.

use segvol::Profile;

use crate::results::{Header, Results};

/// A name for each of several results, from the settings in which they differ: `las`, `released`, `released, las`.
#[must_use]
pub fn of(all: &[Results]) -> Vec<String> {
    let differs = differing(all);
    all.iter()
        .map(|one| parts(&one.header, differs).into_iter().map(|(_, value)| value).collect::<Vec<_>>().join(", "))
        .collect()
}

/// Whether profiles differ, and whether orientations do. If neither does, the orientation counts: results have a name.
pub(crate) fn differing(all: &[Results]) -> [bool; 2] {
    let Some(first) = all.first() else { return [false; 2] };
    let profile = all.iter().any(|one| one.header.profile != first.header.profile);
    let orientation = all.iter().any(|one| one.header.orientation != first.header.orientation);
    [profile, orientation || !profile]
}

/// The settings that distinguish a result, with their names.
pub(crate) fn parts(header: &Header, [profile, orientation]: [bool; 2]) -> Vec<(&'static str, String)> {
    let mut parts = Vec::new();
    if profile {
        parts.push(("profile", profile_name(header)));
    }
    if orientation {
        parts.push(("orientation", header.orientation.to_string()));
    }
    parts
}

/// The profile's name, as in JSON.
#[must_use]
pub fn profile_name(header: &Header) -> String {
    profile_word(header.profile)
}

/// A profile's name, as in JSON.
#[must_use]
pub fn profile_word(profile: Profile) -> String {
    match serde_json::to_value(profile) {
        Ok(serde_json::Value::String(name)) => name,
        _ => format!("{profile:?}").to_lowercase(),
    }
}

/// A word with its first letter in upper case.
pub(crate) fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
