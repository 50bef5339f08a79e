//! The boxes of a case file: a pickled array of dictionaries, read as objects. Nothing in it is executed.

use segvol_archive::pickle::{self, Call, Node, Objects, Value};
use segvol_archive::region::Region;
use segvol_base::printable;

/// The keys of a box, in the order `(d0, h0, w0, d1, h1, w1)`.
const KEYS: [&str; 6] = ["z_min", "z_mid_y_min", "z_mid_x_min", "z_max", "z_mid_y_max", "z_mid_x_max"];

/// Reads the boxes `(d0, h0, w0, d1, h1, w1)`, maximum inclusive, as the file states them.
///
/// # Errors
///
/// What was expected and what was found.
pub(crate) fn read(pickle: &Region) -> Result<Vec<[i64; 6]>, String> {
    let objects = pickle::read(pickle)?;
    let items = items(&objects, objects.root)
        .ok_or_else(|| "expected an array of dictionaries; found another object".to_owned())?;
    items.iter().enumerate().map(|(index, item)| corners(&objects, index, *item)).collect()
}

/// The items of a list, or of an array of objects.
fn items(objects: &Objects, value: Value) -> Option<&[Value]> {
    match objects.get(value)? {
        Node::List(items) => Some(items),
        Node::Call(call) if is(objects, call, "_reconstruct") => match objects.list(call.state)? {
            [.., items] => objects.list(*items),
            [] => None,
        },
        _ => None,
    }
}

/// Whether a call is to a function of NumPy's, in the spelling of NumPy 1 or 2.
fn is(objects: &Objects, call: &Call, name: &str) -> bool {
    objects.global(call.callable).is_some_and(|global| {
        matches!(global.module.as_str(), "numpy.core.multiarray" | "numpy._core.multiarray") && global.name == name
    })
}

fn corners(objects: &Objects, index: usize, item: Value) -> Result<[i64; 6], String> {
    let number = index + 1;
    let pairs =
        objects.dict(item).ok_or_else(|| format!("box {number}: expected a dictionary; found another object"))?;
    let mut found = [0; 6];
    for (corner, key) in found.iter_mut().zip(KEYS) {
        // A later value of a key replaces an earlier one.
        let value = pairs.iter().rev().find(|(name, _)| objects.text(*name) == Some(key));
        let Some((_, value)) = value else {
            let names: Vec<_> = pairs.iter().filter_map(|(name, _)| objects.text(*name)).map(printable).collect();
            return Err(format!("box {number}: expected the key `{key}`; found {}", names.join(", ")));
        };
        *corner = whole(objects, *value)
            .ok_or_else(|| format!("box {number}: `{key}`: expected a whole number; found another object"))?;
    }
    Ok(found)
}

/// A whole number of Python's or NumPy's.
fn whole(objects: &Objects, value: Value) -> Option<i64> {
    if let Value::Int(number) = value {
        return Some(number);
    }
    // numpy.core.multiarray.scalar(dtype, bytes)
    let call = objects.call(value).filter(|call| is(objects, call, "scalar"))?;
    let [dtype, bytes] = objects.list(call.args)? else { return None };
    let dtype = objects.call(*dtype)?;
    let code = objects.text(*objects.list(dtype.args)?.first()?)?;
    let order = objects.list(dtype.state).and_then(|state| state.get(1)).and_then(|order| objects.text(*order));
    let Node::Bytes(bytes) = objects.get(*bytes)? else { return None };
    let mut raw = bytes.to_vec();
    if order == Some(">") || code.starts_with('>') {
        raw.reverse();
    }
    let code = code.trim_start_matches(['<', '>', '=', '|']);
    let (kind, size) = (code.get(..1)?, code.get(1..)?.parse::<usize>().ok()?);
    if raw.len() != size || !matches!(size, 1 | 2 | 4 | 8) {
        return None;
    }
    let negative = kind == "i" && raw.last().is_some_and(|byte| byte >> 7 == 1);
    raw.resize(8, if negative { 0xff } else { 0 });
    let raw: [u8; 8] = raw.try_into().ok()?;
    match kind {
        "i" => Some(i64::from_le_bytes(raw)),
        "u" => i64::try_from(u64::from_le_bytes(raw)).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(bytes: &[u8]) -> Result<Vec<[i64; 6]>, String> {
        read(&Region::of_memory(bytes))
    }

    /// Protocol 0: a dictionary of these values, which are instructions.
    fn dictionary(values: [&str; 6]) -> String {
        let pairs: String = KEYS.iter().zip(values).map(|(key, value)| format!("V{key}\n{value}")).collect();
        format!("({pairs}d")
    }

    #[test]
    fn whole_numbers_of_python_and_numpy_are_read() {
        let scalar = |code: &str, order: &str, text: &str| {
            format!(
                "cnumpy.core.multiarray\nscalar\n(cnumpy\ndtype\n(V{code}\nI00\nI01\ntR(I3\nV{order}\nNNNI-1\nI-1\nI0\ntbC{text}tR"
            )
        };
        let (wide, narrow) = (scalar("i8", "<", "\u{8}\u{5}\0\0\0\0\0\0\0"), scalar("u2", ">", "\u{2}\u{1}\u{2}"));
        let text = format!(
            "({}{}l.",
            dictionary(["I0\n", "L7L\n", &wide, "J\u{1}\0\0\0", &narrow, "K\u{9}"]),
            dictionary(["I1\n"; 6])
        );
        assert_eq!(parsed(text.as_bytes()), Ok(vec![[0, 7, 5, 1, 258, 9], [1; 6]]));
    }

    #[test]
    fn what_is_no_box_is_named() {
        for (text, part) in [
            ("I3\n.".to_owned(), "an array of dictionaries"),
            ("(I3\nl.".to_owned(), "box 1: expected a dictionary"),
            (
                format!("({}(Vz_min\nI1\ndl.", dictionary(["I1\n"; 6])),
                "box 2: expected the key `z_mid_y_min`; found z_min",
            ),
            (
                format!("({}l.", dictionary(["F1.5\n", "I1\n", "I1\n", "I1\n", "I1\n", "I1\n"])),
                "`z_min`: expected a whole number",
            ),
            ("cposix\nsystem\n(Vtouch x\ntR.".to_owned(), "an array of dictionaries"),
            ("(cposix\nsystem\n(Vtouch x\ntRl.".to_owned(), "box 1: expected a dictionary"),
        ] {
            let error = parsed(text.as_bytes()).expect_err("no boxes");
            assert!(error.contains(part), "{error}");
        }
    }
}
