//! How near two names are.

use crate::spelling::Normal;

/// The most that names can be similar that are not the same: `liver liver` has all the words of `liver`.
const OTHER_NAME: f64 = 0.99;

/// 0 for names that share nothing, 1 for spellings of one name: the better of two measures. One compares the names as a
/// whole, which finds typing errors. The other compares their words, which finds names with a word more or less.
pub(crate) fn similarity(a: &Normal, b: &Normal) -> f64 {
    if a.is_same_name(b) {
        return 1.0;
    }
    let whole = edits(&a.sorted, &b.sorted).max(edits(&a.glued, &b.glued));
    whole.max(words(a, b)).min(OTHER_NAME)
}

/// 1 for equal texts, less 1 / length for every character that must be inserted, removed, replaced or swapped.
fn edits(a: &str, b: &str) -> f64 {
    let longest = a.chars().count().max(b.chars().count());
    if longest == 0 {
        return 0.0;
    }
    1.0 - strsim::osa_distance(a, b) as f64 / longest as f64
}

/// How much of each name's words the other has, weighted by their lengths.
fn words(a: &Normal, b: &Normal) -> f64 {
    let (shared_a, total_a) = shared(a, b);
    let (shared_b, total_b) = shared(b, a);
    let total = total_a + total_b;
    if total > 0.0 { (shared_a + shared_b) / total } else { 0.0 }
}

/// How many characters of a name's words the other name has too, and how many there are.
fn shared(one: &Normal, other: &Normal) -> (f64, f64) {
    let (mut shared, mut total) = (0.0, 0.0);
    for word in &one.words {
        let length = word.chars().count() as f64;
        let best = other.words.iter().map(|other| edits(word, other)).fold(0.0, f64::max);
        // Words of which only some letters agree are other words.
        shared += if best >= 0.6 { best * length } else { 0.0 };
        total += length;
    }
    (shared, total)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(a: &str, b: &str) -> f64 {
        similarity(&Normal::new(a), &Normal::new(b))
    }

    #[test]
    fn spellings_come_before_errors_and_errors_before_other_names() {
        assert_eq!(near("kidney_left", "left kidney"), 1.0);
        for (asked, nearer, farther) in [
            ("liverr", "liver", "liver tumor"),
            ("lvier", "liver", "ovary"),
            ("left kidny", "left kidney", "right kidney"),
            ("kidney", "left kidney", "pancreas"),
            ("vertebra L2", "vertebrae L2", "vertebrae L3"),
            ("tumor in the liver", "liver tumor", "lung tumours"),
            ("gallblader", "gall bladder", "bladder"),
        ] {
            let (nearer, farther) = (near(asked, nearer), near(asked, farther));
            assert!(nearer > farther, "{asked}: {nearer} and {farther}");
        }
        assert_eq!(near("liver liver", "liver"), OTHER_NAME);
        assert!(near("pancreas", "liver") < 0.3 && near("", "liver") == 0.0 && near("", "") == 0.0);
    }

    #[test]
    fn nearness_is_mutual_and_between_0_and_1() {
        for a in ["liver", "left kidney", "肝臓", "", "rib left 1"] {
            for b in ["liver tumour", "kidney", "l", "11"] {
                assert_eq!(near(a, b), near(b, a), "{a}, {b}");
                assert!((0.0..=1.0).contains(&near(a, b)), "{a}, {b}");
            }
        }
    }
}
