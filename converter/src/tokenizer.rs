//! The tokenizer of a bundle: found next to the checkpoint or given by its path, checked, and always stored as
//! `tokenizer.json`.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use segvol_base::json::{Document, JsonError};
use segvol_base::text;
use segvol_onnx::Architecture;
use serde_json::{Value, json};
use tokenizers::{ModelWrapper, Tokenizer};

use crate::error::ConvertError;

/// The sentence around a name.
///
/// # Source
///
/// BAAI-DCAI/SegVol@5768c97, `network/model.py`, `TextEncoder.organ2tokens`.
pub(crate) const PROMPT_TEMPLATE: &str = "A computerized tomography of a {}.";

/// Longest tokenizer file accepted; CLIP's has 2.2 MB.
const MAX_TOKENIZER_BYTES: u64 = 64 << 20;

/// A tokenizer that fits the model.
#[derive(Debug)]
pub(crate) struct Checked {
    /// The text of `tokenizer.json`.
    pub json: Vec<u8>,
    /// Id of the token that ends every sequence.
    pub end_id: u32,
}

/// Reads the tokenizer at the path `named` (a file, or a folder to search), or else the one next to the checkpoint, and
/// checks it against the size of the model's vocabulary.
pub(crate) fn find(checkpoint: &Path, named: Option<&Path>, vocabulary: usize) -> Result<Checked, ConvertError> {
    let path = match (named, checkpoint.parent()) {
        (Some(named), _) => named,
        (None, Some(folder)) if !folder.as_os_str().is_empty() => folder,
        (None, _) => Path::new("."),
    };
    let file = if path.is_dir() {
        let search = ["tokenizer.json", "vocab.json"].map(|name| path.join(name));
        let found = search.into_iter().find(|file| file.is_file());
        found.ok_or_else(|| ConvertError::NoTokenizer { folder: path.to_owned(), origin: origin(vocabulary) })?
    } else {
        path.to_owned()
    };
    let is_vocabulary = file.file_name().is_some_and(|name| name == "vocab.json");
    let json = if is_vocabulary { from_vocabulary(&file)? } else { read(&file)? };
    if let Some(kind) = std::str::from_utf8(&json).ok().and_then(text::kind_of) {
        return Err(bad(&file, format!("expected JSON; found {kind}")));
    }
    let end_id = check(&json, vocabulary).map_err(|reason| bad(&file, reason))?;
    Ok(Checked { json, end_id })
}

fn bad(path: &Path, reason: impl ToString) -> ConvertError {
    ConvertError::Tokenizer { path: path.to_owned(), reason: reason.to_string() }
}

fn read(path: &Path) -> Result<Vec<u8>, ConvertError> {
    let length = std::fs::metadata(path).map_err(|error| bad(path, error))?.len();
    if length > MAX_TOKENIZER_BYTES {
        return Err(bad(path, format!("expected at most {MAX_TOKENIZER_BYTES} bytes, found {length}")));
    }
    let bytes = std::fs::read(path).map_err(|error| bad(path, error))?;
    let text = text::decode(&bytes).map_err(|found| bad(path, format!("expected text in UTF-8; found {found}")))?;
    Ok(text.as_bytes().to_vec())
}

/// Encodes texts as the runtime does, and returns the id of the end token. A tokenizer of another model is refused: its
/// ids would be other words of this model.
///
/// The text encoder reads its result at the greatest id, so that must be the end token's, and the last row of the
/// embedding.
fn check(json: &[u8], vocabulary: usize) -> Result<u32, String> {
    let tokenizer = fenced(|| {
        let mut tokenizer = Tokenizer::from_bytes(json)?;
        // The runtime ignores them too.
        tokenizer.with_padding(None).with_truncation(None)?;
        Ok(tokenizer)
    })?;
    let found = match tokenizer.get_model() {
        ModelWrapper::BPE(_) => None,
        ModelWrapper::WordPiece(_) => Some("WordPiece, as in BERT"),
        ModelWrapper::WordLevel(_) => Some("whole words"),
        ModelWrapper::Unigram(_) => Some("Unigram, as in T5"),
    };
    if let Some(found) = found {
        return Err(other_model(format!("expected byte pairs (BPE), as in CLIP, found {found}"), vocabulary));
    }
    let Some(greatest) = tokenizer.get_vocab(true).into_values().max() else {
        return Err("expected a vocabulary, found an empty one".to_owned());
    };
    let tokens = greatest as usize + 1;
    if tokens != vocabulary {
        let reason = format!(
            "expected {vocabulary} token ids, as many as the text encoder's embedding has rows, found {tokens}"
        );
        return Err(other_model(reason, vocabulary));
    }
    let encode =
        |text: String| -> Result<Vec<u32>, String> { Ok(fenced(|| tokenizer.encode(text, true))?.get_ids().to_vec()) };
    let named = |id: u32| match tokenizer.id_to_token(id) {
        Some(token) => format!("{id} ({token:?})"),
        None => id.to_string(),
    };
    let ids = encode(PROMPT_TEMPLATE.to_owned())?;
    let end = ids.last().copied().ok_or_else(|| "expected token ids for a text, found none".to_owned())?;
    if end != greatest {
        let (expected, found) = (named(greatest), named(end));
        let reason =
            format!("expected the end token to be the last id, {expected}, found {found} at the end of a text");
        return Err(other_model(reason, vocabulary));
    }
    let around = encode(String::new())?;
    let [start, _] = around[..] else {
        let expected = "expected a start and an end token around an empty text";
        return Err(other_model(format!("{expected}, found the ids {around:?}"), vocabulary));
    };
    let released = Architecture::RELEASED.text_encoder.vocabulary;
    if vocabulary == released && start + 1 != end {
        let reason = format!("expected the start token {}, found {}", named(end - 1), named(start));
        return Err(other_model(reason, vocabulary));
    }
    let [first, words @ .., _] = &ids[..] else {
        return Err(format!("expected a start and an end token around the template, found {ids:?}"));
    };
    if start == end || *first != start || words.iter().any(|&id| id == start || id == end) {
        return Err(format!("expected the template's words between one start and one end token, found {ids:?}"));
    }
    if encode(PROMPT_TEMPLATE.to_uppercase())? != ids {
        let reason = "expected the same ids for upper and lower case, as in CLIP, found different ones".to_owned();
        return Err(other_model(reason, vocabulary));
    }
    Ok(end)
}

/// A reason why a tokenizer does not fit, and where the one that fits is.
fn other_model(reason: String, vocabulary: usize) -> String {
    format!("{reason}; this is the tokenizer of another model: {}", origin(vocabulary))
}

/// Where the tokenizer of a model with this number of token ids comes from.
///
/// # Source
///
/// The files of BAAI/SegVol on Hugging Face at 516701d, beside `pytorch_model.bin`.
pub(crate) fn origin(vocabulary: usize) -> String {
    const PLACE: &str =
        "tokenizer.json, or vocab.json with merges.txt, beside the weights in huggingface.co/BAAI/SegVol";
    let released = Architecture::RELEASED.text_encoder.vocabulary;
    if vocabulary == released {
        format!("that of the released model is {PLACE}; openai/clip-vit-base-patch32 has the same")
    } else {
        format!(
            "that of a model with {vocabulary} token ids was saved when the model was trained (that of the released model, which has {released}, is {PLACE})"
        )
    }
}

/// Calls the tokenizers library, which panics on some hostile files: a panic becomes an error.
fn fenced<T>(work: impl FnOnce() -> tokenizers::Result<T>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(_) => Err("the tokenizers library panicked; the file is damaged".to_owned()),
    }
}

/// CLIP's tokenizer from `vocab.json` and the `merges.txt` next to it.
fn from_vocabulary(path: &Path) -> Result<Vec<u8>, ConvertError> {
    let merges_path: PathBuf = path.with_file_name("merges.txt");
    let text = String::from_utf8(read(path)?).map_err(|error| bad(path, error))?;
    let vocabulary = vocabulary(&text).map_err(|error| bad(path, error))?;
    if !merges_path.exists() {
        let reason = "expected the merges that belong to vocab.json, found no such file";
        return Err(bad(&merges_path, reason));
    }
    let text = String::from_utf8(read(&merges_path)?).map_err(|error| bad(&merges_path, error))?;
    // The first line is a version.
    let lines = text.lines().filter(|line| !line.starts_with("#version") && !line.trim().is_empty());
    let merges: Vec<&str> = lines.map(str::trim_end).collect();
    if let Some(merge) = merges.iter().find(|merge| merge.split(' ').count() != 2) {
        return Err(bad(&merges_path, format!("expected two parts per line, found {merge:?}")));
    }
    let json = clip_tokenizer(&vocabulary, &merges).map_err(|reason| bad(path, reason))?;
    serde_json::to_vec(&json).map_err(|error| bad(path, error))
}

/// The tokens of `vocab.json` with their ids.
fn vocabulary(text: &str) -> Result<BTreeMap<String, u32>, JsonError> {
    let document = Document::parse(text)?;
    let root = document.root();
    let tokens = root.entries("the id of every token, for example {\"!\": 0, \"a</w>\": 320}")?;
    tokens.map(|(token, id)| Ok((token.to_owned(), id.whole(0..=u32::MAX, "an id, for example 320")?))).collect()
}

const START: &str = "<|startoftext|>";
const END: &str = "<|endoftext|>";

/// CLIP's steps in the format of `tokenizers`: normalise to NFC, collapse white space, lower-case; split into words,
/// digits and signs; map bytes to letters; merge pairs; add the start and the end token.
///
/// # Source
///
/// openai/CLIP, `clip/simple_tokenizer.py`.
fn clip_tokenizer(vocabulary: &BTreeMap<String, u32>, merges: &[&str]) -> Result<Value, String> {
    let id = |token: &str| {
        vocabulary
            .get(token)
            .copied()
            .ok_or_else(|| format!("expected CLIP's vocabulary with the token {token}, found no such token"))
    };
    let (start, end) = (id(START)?, id(END)?);
    let special = |id: u32, content: &str| {
        json!({
            "id": id, "content": content, "special": true,
            "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
        })
    };
    let bytes = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true});
    Ok(json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": [special(start, START), special(end, END)],
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "NFC"},
            {"type": "Replace", "pattern": {"Regex": r"\s+"}, "content": " "},
            {"type": "Lowercase"},
        ]},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {
                "type": "Split",
                "pattern": {"Regex": r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"},
                "behavior": "Removed",
                "invert": true,
            },
            bytes,
        ]},
        "post_processor": {
            "type": "RobertaProcessing", "cls": [START, start], "sep": [END, end],
            "trim_offsets": false, "add_prefix_space": false,
        },
        "decoder": bytes,
        "model": {
            "type": "BPE", "dropout": null, "unk_token": END, "continuing_subword_prefix": "",
            "end_of_word_suffix": "</w>", "fuse_unk": false, "byte_fallback": false,
            "vocab": vocabulary, "merges": merges,
        },
    }))
}

/// A tokenizer for models without a trained vocabulary: letters, digits and a few marks, one token each.
///
/// Its last two ids are the start and the end, as in CLIP's.
pub(crate) fn of_letters(vocabulary: usize) -> Result<Value, String> {
    let symbols = ('a'..='z').chain('0'..='9').chain(['.', ',', '-', '{', '}']);
    let symbols = symbols.flat_map(|symbol| [symbol.to_string(), format!("{symbol}</w>")]);
    let mut ids: BTreeMap<String, u32> = symbols.zip(0..).collect();
    let least = ids.len() + 2;
    if vocabulary < least {
        return Err(format!(
            "expected a vocabulary of at least {least} tokens for letters and digits, found {vocabulary}"
        ));
    }
    let end =
        u32::try_from(vocabulary - 1).map_err(|_| format!("expected token ids of 32 bits, found {vocabulary}"))?;
    ids.extend([(START.to_owned(), end - 1), (END.to_owned(), end)]);
    clip_tokenizer(&ids, &[])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_alone_make_a_tokenizer_of_any_vocabulary() {
        for vocabulary in [320, 49408] {
            let json = of_letters(vocabulary).expect("a tokenizer").to_string();
            assert_eq!(check(json.as_bytes(), vocabulary), Ok(vocabulary as u32 - 1));
        }
        assert!(of_letters(84).is_ok());
        assert!(of_letters(83).is_err());
    }

    /// A vocabulary of single letters, enough for the template.
    fn letters() -> BTreeMap<String, u32> {
        let letters = ('a'..='z').chain(['.', '{', '}']).map(String::from);
        let tokens = letters.flat_map(|letter| [letter.clone(), format!("{letter}</w>")]);
        tokens.chain(["ct</w>".to_owned(), START.to_owned(), END.to_owned()]).zip(0..).collect()
    }

    #[test]
    fn a_vocabulary_and_merges_make_clips_tokenizer() {
        let vocabulary = letters();
        let json = clip_tokenizer(&vocabulary, &["c t</w>"]).expect("a tokenizer");
        let json = serde_json::to_vec(&json).expect("JSON");
        let end = vocabulary[END];
        assert_eq!(check(&json, end as usize + 1), Ok(end));

        let tokenizer = Tokenizer::from_bytes(&json).expect("a tokenizer");
        let encoding = tokenizer.encode("A  CT", true).expect("encoded");
        let expected = [START, "a</w>", "ct</w>", END].map(|token| vocabulary[token]);
        assert_eq!(encoding.get_ids(), expected);
    }

    /// The tokenizer of [`letters`], with a change, for a model with this number of token ids.
    fn changed(change: impl FnOnce(&mut Value), vocabulary: usize) -> Result<u32, String> {
        let mut json = clip_tokenizer(&letters(), &[]).expect("a tokenizer");
        change(&mut json);
        check(json.to_string().as_bytes(), vocabulary)
    }

    #[test]
    fn a_tokenizer_of_another_model_is_refused() {
        let count = letters().len();
        let end = count as u32 - 1;
        assert_eq!(changed(|_| {}, count), Ok(end));
        let (start, end_token) = (json!([START, end - 1]), json!([END, end]));
        let lower_a = json!({"type": "Replace", "pattern": {"String": "A "}, "content": "a "});
        let cases: [(&str, Result<u32, String>, &[&str]); 8] = [
            (
                "too large",
                changed(|_| {}, count - 1),
                &["expected 60 token ids", "found 61", "saved when the model was trained", "BAAI/SegVol"],
            ),
            (
                "too small",
                changed(|_| {}, 49408),
                &["expected 49408 token ids", "found 61", "huggingface.co/BAAI/SegVol"],
            ),
            (
                "one token more",
                changed(|json| json["model"]["vocab"]["<pad>"] = count.into(), count),
                &["expected 61 token ids", "found 62"],
            ),
            (
                "another end token",
                changed(|json| json["post_processor"]["sep"] = start.clone(), count),
                &["the last id, 60 (\"<|endoftext|>\")", "found 59 (\"<|startoftext|>\")"],
            ),
            (
                "no start token",
                changed(
                    |json| {
                        json["post_processor"] = json!({
                            "type": "TemplateProcessing",
                            "single": [{"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": END, "type_id": 0}}],
                            "pair": [],
                            "special_tokens": {END: {"id": END, "ids": [end], "tokens": [END]}},
                        });
                    },
                    count,
                ),
                &["a start and an end token around an empty text", "[60]"],
            ),
            (
                "the end token at both ends",
                changed(|json| json["post_processor"]["cls"] = end_token, count),
                &["between one start and one end token"],
            ),
            ("case", changed(|json| json["normalizer"] = lower_a, count), &["upper and lower case"]),
            (
                "WordPiece",
                changed(
                    |json| {
                        let vocab = json["model"]["vocab"].clone();
                        json["model"] = json!({"type": "WordPiece", "unk_token": END, "vocab": vocab,
                            "continuing_subword_prefix": "##", "max_input_chars_per_word": 100});
                    },
                    count,
                ),
                &["byte pairs", "WordPiece", "another model"],
            ),
        ];
        for (what, result, parts) in cases {
            let error = result.expect_err(what);
            assert!(parts.iter().all(|part| error.contains(part)), "{what}: {parts:?}: {error}");
        }
    }

    #[test]
    fn padding_and_truncation_in_the_file_change_nothing() {
        let padding = json!({"strategy": {"Fixed": 77}, "direction": "Right", "pad_to_multiple_of": null,
            "pad_id": 60, "pad_type_id": 0, "pad_token": END});
        let truncation = json!({"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0});
        let found = changed(
            |json| {
                json["padding"] = padding;
                json["truncation"] = truncation;
            },
            letters().len(),
        );
        assert_eq!(found, Ok(60));
    }

    #[test]
    fn files_from_elsewhere_are_read_or_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        let vocabulary = serde_json::to_string(&letters()).expect("JSON");
        let found = || find(&path("model.pth"), None, letters().len());
        let refused = || found().expect_err("refused").to_string();
        assert!(refused().contains("saved when the model was trained"), "{}", refused());

        std::fs::write(path("vocab.json"), format!("\u{feff}{vocabulary}")).expect("written");
        assert!(refused().contains("merges.txt") && refused().contains("belong to vocab.json"), "{}", refused());
        std::fs::write(path("merges.txt"), "\u{feff}#version: 0.2\r\nc t</w>\r\n\r\n").expect("written");
        assert_eq!(found().expect("a tokenizer").end_id, 60);

        std::fs::write(path("tokenizer.json"), "version https://git-lfs.github.com/spec/v1\noid sha256:0")
            .expect("written");
        assert!(refused().contains("Git LFS pointer"), "{}", refused());
        let json = clip_tokenizer(&letters(), &[]).expect("a tokenizer").to_string();
        std::fs::write(path("tokenizer.json"), format!("\u{feff}{json}")).expect("written");
        let stored = found().expect("a tokenizer").json;
        assert_eq!(stored, json.as_bytes(), "the bundle's file has no byte order mark");
        Tokenizer::from_bytes(stored).expect("as the runtime reads it");
    }
}
