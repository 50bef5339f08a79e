//! Numbers from a list in JSON: flat, or nested as the shape of the tensor says.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, SeqAccess, Visitor};

/// A number of a tensor.
pub(super) trait Number: Sized {
    /// What a list must have.
    const EXPECTED: &'static str;
    /// The number, if it is one of this type.
    fn of(value: Json) -> Option<Self>;
}

/// A number as JSON has it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Json {
    Whole(i64),
    Large(u64),
    Real(f64),
}

impl Number for f64 {
    const EXPECTED: &'static str = "a number";

    fn of(value: Json) -> Option<Self> {
        Some(match value {
            Json::Whole(value) => value as f64,
            Json::Large(value) => value as f64,
            Json::Real(value) => value,
        })
    }
}

/// A voxel of the datatype FP32.
pub(super) struct Fp32(pub(super) f32);

impl Number for Fp32 {
    const EXPECTED: &'static str = "a number of 32 bits";

    fn of(value: Json) -> Option<Self> {
        let value = f64::of(value)? as f32;
        // JSON has no infinity: this one was too large.
        value.is_finite().then_some(Self(value))
    }
}

/// A voxel of the datatype INT16.
pub(super) struct Int16(pub(super) f32);

impl Number for Int16 {
    const EXPECTED: &'static str = "a whole number from -32768 to 32767";

    fn of(value: Json) -> Option<Self> {
        match value {
            Json::Whole(value) => i16::try_from(value).ok().map(|value| Self(value.into())),
            Json::Large(_) | Json::Real(_) => None,
        }
    }
}

/// Reads the numbers of a list, in the order of the text.
///
/// # Errors
///
/// Why the text is not such a list.
pub(super) fn read<T: Number>(text: &str, shape: &[usize], take: &mut dyn FnMut(T)) -> Result<(), String> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let mut left = shape.iter().product();
    let part = Part { shape, depth: 0, left: &mut left, take };
    match part.deserialize(&mut deserializer) {
        Ok(Kind::List) if left == 0 => Ok(()),
        Ok(_) => Err(format!("expected a list of the shape {shape:?}, or a flat one of as many numbers")),
        Err(error) => Err(error.to_string()),
    }
}

/// What a part of a list was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Number,
    List,
}

/// A part of a list: a number, or a list of parts.
struct Part<'a, T> {
    shape: &'a [usize],
    depth: usize,
    /// How many numbers may follow.
    left: &'a mut usize,
    take: &'a mut dyn FnMut(T),
}

impl<T: Number> Part<'_, T> {
    fn number<E: Error>(self, value: Json) -> Result<Kind, E> {
        let too_many = || E::custom(format!("expected numbers for the shape {:?}, found more", self.shape));
        *self.left = self.left.checked_sub(1).ok_or_else(too_many)?;
        (self.take)(T::of(value).ok_or_else(|| E::custom(format!("expected {}", T::EXPECTED)))?);
        Ok(Kind::Number)
    }
}

impl<'de, T: Number> DeserializeSeed<'de> for Part<'_, T> {
    type Value = Kind;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Kind, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, T: Number> Visitor<'de> for Part<'_, T> {
    type Value = Kind;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} or a list of them", T::EXPECTED)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Kind, E> {
        self.number(Json::Whole(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Kind, E> {
        self.number(i64::try_from(value).map_or(Json::Large(value), Json::Whole))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Kind, E> {
        self.number(Json::Real(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Kind, A::Error> {
        let Self { shape, depth, left, take } = self;
        let unshaped = || A::Error::custom(format!("expected lists as the shape {shape:?} says, or one flat list"));
        let Some(&length) = shape.get(depth) else { return Err(unshaped()) };
        let (mut count, mut kind) = (0_usize, None);
        while let Some(one) = list.next_element_seed(Part { shape, depth: depth + 1, left, take })? {
            count += 1;
            if *kind.get_or_insert(one) != one {
                return Err(unshaped());
            }
        }
        let is_flat = depth == 0 && kind == Some(Kind::Number);
        let is_innermost = depth + 1 == shape.len();
        let is_right = is_flat || (count == length && (is_innermost == (kind != Some(Kind::List)) || count == 0));
        if is_right { Ok(Kind::List) } else { Err(unshaped()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(text: &str, shape: &[usize]) -> Result<Vec<f64>, String> {
        let mut found = Vec::new();
        read(text, shape, &mut |number: f64| found.push(number)).map(|()| found)
    }

    #[test]
    fn lists_are_flat_or_as_the_shape_says() {
        let six = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        for right in ["[1, 2, 3, 4, 5, 6]", "[[1, 2, 3], [4, 5, 6.0]]"] {
            assert_eq!(numbers(right, &[2, 3]).expect(right), six);
        }
        assert_eq!(numbers("[[[1], [2]], [[3], [4]], [[5], [6]]]", &[3, 2, 1]).expect("nested"), six);
        for wrong in [
            "[1, 2, 3, 4, 5]",
            "[1, 2, 3, 4, 5, 6, 7]",
            "[[1, 2], [3, 4], [5, 6]]",
            "[[1, 2, 3], [4, 5]]",
            "[[1, 2, 3], 4, 5, 6]",
            "[1, 2, 3, [4, 5, 6]]",
            "[[1, 2, 3], [4, 5, 6], []]",
            "[[[1, 2, 3], [4, 5, 6]]]",
            "[[1, 2, 3, 4, 5, 6]]",
            "[[1, 2, 3], [4, 5, \"6\"]]",
            "[[1, 2, 3], [4, 5, null]]",
            "[]",
            "6",
            "\"123456\"",
            "{}",
            "null",
        ] {
            assert!(numbers(wrong, &[2, 3]).is_err(), "{wrong}");
        }
        let deep = "[".repeat(100_000);
        assert!(numbers(&deep, &[2, 3]).is_err());
        assert!(numbers("1", &[]).is_err());
    }

    #[test]
    fn a_number_is_one_of_its_type() {
        let int16 = |text: &str| {
            let mut found = Vec::new();
            read(text, &[1], &mut |Int16(number)| found.push(number)).map(|()| found[0])
        };
        assert_eq!(int16("[-32768]"), Ok(-32768.0));
        assert_eq!(int16("[32767]"), Ok(32767.0));
        for wrong in ["[32768]", "[-32769]", "[1.5]", "[18446744073709551615]", "[1e3]"] {
            assert!(int16(wrong).is_err(), "{wrong}");
        }
        let fp32 = |text: &str| {
            let mut found = Vec::new();
            read(text, &[1], &mut |Fp32(number)| found.push(number)).map(|()| found[0])
        };
        assert_eq!(fp32("[-1000.5]"), Ok(-1000.5));
        assert_eq!(fp32("[3]"), Ok(3.0));
        assert!(fp32("[1e39]").is_err());
    }
}
