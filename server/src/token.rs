//! The token that clients present.

use std::fmt;
use std::path::Path;

use subtle::ConstantTimeEq as _;

/// The fewest characters of a token. Shorter ones can be guessed.
const MIN_CHARACTERS: usize = 16;

/// The most bytes that a file with a token may have.
const MAX_BYTES: u64 = 4096;

/// A secret that clients present as `Authorization: Bearer TOKEN`. It is never printed.
#[derive(Clone)]
pub struct Token(String);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// Why a token cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// Its file cannot be read.
    #[error("token file `{path}`: {source}")]
    File {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// It can be guessed, or it cannot be sent.
    #[error(
        "token: expected {MIN_CHARACTERS} to {MAX_BYTES} letters, digits and signs of ASCII without spaces, found {found}"
    )]
    Unfit {
        /// What was found, without the token.
        found: String,
    },
}

impl Token {
    /// A token of at least 16 characters that can be sent in a header.
    ///
    /// # Errors
    ///
    /// [`TokenError::Unfit`].
    pub fn new(text: &str) -> Result<Self, TokenError> {
        let unfit = |found: String| Err(TokenError::Unfit { found });
        if let Some(other) = text.chars().find(|sign| !sign.is_ascii_graphic()) {
            return unfit(format!("{other:?} in it"));
        }
        match text.len() {
            count if count < MIN_CHARACTERS || count as u64 > MAX_BYTES => unfit(format!("{count}")),
            _ => Ok(Self(text.to_owned())),
        }
    }

    /// Reads a token from a file. White space around it is ignored.
    ///
    /// # Errors
    ///
    /// [`TokenError`].
    pub fn read(path: &Path) -> Result<Self, TokenError> {
        use std::io::Read as _;
        let failed = |source| TokenError::File { path: path.display().to_string(), source };
        let mut text = String::new();
        let file = std::fs::File::open(path).map_err(failed)?;
        file.take(MAX_BYTES + 2).read_to_string(&mut text).map_err(failed)?;
        Self::new(text.trim())
    }

    /// Whether this is what a client presents: the value of its header `Authorization`. The time does not depend on how much of
    /// it is right.
    pub(crate) fn is_in(&self, authorization: &[u8]) -> bool {
        const SCHEME: &[u8] = b"bearer ";
        let Some((scheme, presented)) = authorization.split_at_checked(SCHEME.len()) else { return false };
        scheme.eq_ignore_ascii_case(SCHEME) && bool::from(presented.ct_eq(self.0.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_that_can_be_guessed_or_not_be_sent_are_refused() {
        for text in
            ["", "short", "fifteen-letters", "with a space in it", "line\nbreak-in-the-token", "ümlaut-ümlaut-ümlaut"]
        {
            let error = Token::new(text).expect_err(text);
            assert!(text.is_empty() || !error.to_string().contains(text), "{error}");
        }
        assert!(Token::new(&"x".repeat(5000)).is_err());
    }

    #[test]
    fn only_the_whole_token_is_right() {
        let token = Token::new("0123456789abcdef").expect("fits");
        for right in ["Bearer 0123456789abcdef", "bearer 0123456789abcdef"] {
            assert!(token.is_in(right.as_bytes()), "{right}");
        }
        for wrong in [
            "",
            "Bearer",
            "Bearer ",
            "Bearer 0123456789abcde",
            "Bearer 0123456789abcdef0",
            "Basic  0123456789abcdef",
            "0123456789abcdef",
        ] {
            assert!(!token.is_in(wrong.as_bytes()), "{wrong}");
        }
        assert_eq!(format!("{token:?}"), "Token(…)");
    }

    #[test]
    fn a_file_may_end_in_a_line_break() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), "0123456789abcdef\n").expect("write");
        assert!(Token::read(file.path()).expect("a token").is_in(b"Bearer 0123456789abcdef"));
    }
}
