//! From the name of an organ to the token ids that the text encoder takes.

use segvol_base::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use segvol_onnx::manifest::Tokenizer as TokenizerEntry;

/// Sequences are padded to a multiple of this, so that a name gives the same vector in any company: a batch
/// holds only sequences of one padded length, and that length is the name's own.
const PAD_MULTIPLE: usize = 16;

/// Longest tokenizer file that is read.
const MAX_TOKENIZER_BYTES: u64 = 64 << 20;

/// CLIP's byte-pair tokenizer, with SegVol's sentence around the name.
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    template: String,
    end_id: u32,
    vocabulary: usize,
    context_length: usize,
}

/// Why a name could not be turned into token ids.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenizerError {
    /// `tokenizer.json` cannot be used.
    #[error("tokenizer `{}`: {reason}", path.display())]
    BadFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The name is empty or only blanks.
    #[error("text prompt {text:?}: expected the name of a structure, found nothing but blanks")]
    Empty {
        /// The name as given.
        text: String,
    },
    /// The name has more tokens than the text encoder can take.
    #[error("text prompt {text:?}: expected at most {limit} tokens with the sentence around it, found {found}")]
    TooLong {
        /// The name as given.
        text: String,
        /// The text encoder's context length.
        limit: usize,
        /// Tokens of the sentence.
        found: usize,
    },
    /// The tokenizer gives an id that the text encoder has no row for.
    #[error(
        "text prompt {text:?}: token id {id} is outside the text encoder's vocabulary of {vocabulary}; the tokenizer belongs to another model"
    )]
    OutsideVocabulary {
        /// The name as given.
        text: String,
        /// The id.
        id: u32,
        /// Rows of the token embedding.
        vocabulary: usize,
    },
    /// The tokenizer failed on the name.
    #[error("text prompt {text:?}: {reason}")]
    Failed {
        /// The name as given.
        text: String,
        /// What the tokenizer said.
        reason: String,
    },
}

impl TokenizerError {
    /// What kind of failure this is.
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
    /// Opens a bundle's tokenizer, for a text encoder of this vocabulary and context length.
    ///
    /// # Errors
    ///
    /// [`TokenizerError::BadFile`] if the file is not a tokenizer, or has more than 64 MiB (CLIP's has 2.2 MB).
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

    /// Token ids of the sentence around `name`, without padding.
    ///
    /// # Errors
    ///
    /// Every [`TokenizerError`] but `BadFile`.
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
            let reason =
                format!("the tokenizer gives ids {ids:?}, which do not end with the end token {}", self.end_id);
            return Err(TokenizerError::Failed { text, reason });
        }
        Ok(ids.iter().map(|&id| i64::from(id)).collect())
    }

    /// Appends end tokens up to the next multiple of 16, or to the context length. Padding never changes the
    /// embedding: attention is causal, and pooling takes the first end token.
    pub(crate) fn pad(&self, mut ids: Vec<i64>) -> Vec<i64> {
        let length = ids.len().next_multiple_of(PAD_MULTIPLE).min(self.context_length);
        ids.resize(length, i64::from(self.end_id));
        ids
    }
}

/// What the tokenizers library makes of it. On some hostile files it panics; that is an error here.
fn fenced<T>(work: impl FnOnce() -> tokenizers::Result<T>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(_) => Err("the tokenizers library panicked; the file is damaged".to_owned()),
    }
}
