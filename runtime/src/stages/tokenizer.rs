//! Converts the name of an organ to token ids, the input of the text encoder.

use segvol_base::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use segvol_onnx::manifest::Tokenizer as TokenizerEntry;

/// Sequences are padded to a multiple of this. A batch contains only sequences of the same padded length, and the padded
/// length of a name depends on the name alone. So the embedding of a name does not depend on the other names of a call.
const PAD_MULTIPLE: usize = 16;

/// Largest tokenizer file that is read, in bytes.
const MAX_TOKENIZER_BYTES: u64 = 64 << 20;

/// CLIP's byte-pair tokenizer. It puts a name in SegVol's sentence before it encodes it.
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    template: String,
    end_id: u32,
    vocabulary: usize,
    context_length: usize,
}

/// Why a name could not be converted to token ids.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenizerError {
    /// `tokenizer.json` cannot be used.
    #[error("tokenizer `{}`: {reason}", path.display())]
    BadFile {
        /// The file.
        path: PathBuf,
        /// Why it cannot be used.
        reason: String,
    },
    /// The name is empty or contains only blanks.
    #[error("text prompt {text:?}: expected the name of a structure, found only blanks")]
    Empty {
        /// The name, as given.
        text: String,
    },
    /// The name has more tokens than the text encoder accepts.
    #[error(
        "text prompt {text:?}: expected at most {limit} tokens with the sentence around the name, found {found}; use a shorter name"
    )]
    TooLong {
        /// The name, as given.
        text: String,
        /// The text encoder's context length, in tokens.
        limit: usize,
        /// Number of tokens of the sentence with the name.
        found: usize,
    },
    /// The tokenizer returns an id that is outside the text encoder's vocabulary.
    #[error(
        "text prompt {text:?}: expected token ids below {vocabulary} (the text encoder's vocabulary), found {id}; the tokenizer belongs to another model"
    )]
    OutsideVocabulary {
        /// The name, as given.
        text: String,
        /// The token id.
        id: u32,
        /// Number of token ids of the text encoder.
        vocabulary: usize,
    },
    /// The tokenizer failed on the name.
    #[error("text prompt {text:?}: {reason}")]
    Failed {
        /// The name, as given.
        text: String,
        /// Why it failed.
        reason: String,
    },
}

impl TokenizerError {
    /// The kind of failure, which says what the caller can change.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::BadFile { .. }
            | Self::Empty { .. }
            | Self::TooLong { .. }
            | Self::OutsideVocabulary { .. }
            | Self::Failed { .. } => ErrorKind::Input,
        }
    }
}

impl Tokenizer {
    /// Opens a bundle's tokenizer, for a text encoder with this number of token ids and this context length in tokens.
    ///
    /// # Errors
    ///
    /// [`TokenizerError::BadFile`] if the file is not a tokenizer or is larger than 64 MiB (CLIP's has 2.2 MB).
    pub fn open(
        path: &Path,
        entry: &TokenizerEntry,
        vocabulary: usize,
        context_length: usize,
    ) -> Result<Self, TokenizerError> {
        let bad = |reason: String| TokenizerError::BadFile { path: path.to_owned(), reason };
        let bytes = std::fs::metadata(path).map_err(|error| bad(error.to_string()))?.len();
        if bytes > MAX_TOKENIZER_BYTES {
            return Err(bad(format!("expected at most {MAX_TOKENIZER_BYTES} bytes, found {bytes}")));
        }
        let mut inner = fenced(|| tokenizers::Tokenizer::from_file(path)).map_err(bad)?;
        inner.with_padding(None);
        inner.with_truncation(None).map_err(|error| bad(error.to_string()))?;
        Ok(Self { inner, template: entry.prompt_template.clone(), end_id: entry.end_id, vocabulary, context_length })
    }

    /// The token ids of the sentence with `name`, without padding.
    ///
    /// # Errors
    ///
    /// - [`TokenizerError::Empty`] if the name is empty or contains only blanks.
    /// - [`TokenizerError::TooLong`] if it has too many tokens.
    /// - [`TokenizerError::OutsideVocabulary`] if a token id is outside the text encoder's vocabulary.
    /// - [`TokenizerError::Failed`] if the tokenizer fails, or its ids do not end with the end token.
    ///
    /// # Source
    ///
    /// BAAI-DCAI/SegVol@5768c97, `network/model.py`, `TextEncoder.organ2tokens`.
    pub fn encode(&self, name: &str) -> Result<Vec<i64>, TokenizerError> {
        let text = name.to_owned();
        if name.trim().is_empty() {
            return Err(TokenizerError::Empty { text });
        }
        let sentence = self.template.replacen("{}", name, 1);
        let encoding = match fenced(|| self.inner.encode(sentence, true)) {
            Ok(encoding) => encoding,
            Err(reason) => return Err(TokenizerError::Failed { text, reason }),
        };
        let ids = encoding.get_ids();
        if ids.len() > self.context_length {
            return Err(TokenizerError::TooLong { text, limit: self.context_length, found: ids.len() });
        }
        if let Some(&id) = ids.iter().find(|&&id| id as usize >= self.vocabulary) {
            return Err(TokenizerError::OutsideVocabulary { text, id, vocabulary: self.vocabulary });
        }
        if ids.last() != Some(&self.end_id) {
            let reason = format!("expected token ids that end with the end token {}, found {ids:?}", self.end_id);
            return Err(TokenizerError::Failed { text, reason });
        }
        Ok(ids.iter().map(|&id| i64::from(id)).collect())
    }

    /// Appends end tokens up to the next multiple of 16, or to the context length. Padding never changes the
    /// embedding: attention is causal, and pooling uses the first end token.
    pub(crate) fn pad(&self, mut ids: Vec<i64>) -> Vec<i64> {
        let length = ids.len().next_multiple_of(PAD_MULTIPLE).min(self.context_length);
        ids.resize(length, i64::from(self.end_id));
        ids
    }
}

/// Calls the tokenizers library. It panics on some damaged files; this function returns an error instead.
fn fenced<T>(work: impl FnOnce() -> tokenizers::Result<T>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(_) => Err("the tokenizers library panicked; the file is damaged".to_owned()),
    }
}
