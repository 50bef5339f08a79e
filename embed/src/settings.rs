//! How embeddings are chosen and written.

use segvol::FloatType;

/// Which windows were chosen, for the record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Choice {
    /// The zoom-out window.
    #[default]
    ZoomOut,
    /// The windows that prompts need.
    Plan,
    /// Windows over the whole crop.
    Grid,
}

/// What is kept of a window's tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Pool {
    /// Their mean, `[C]`.
    #[default]
    Mean,
    /// All of them, `[D, H, W, C]` of the grid.
    None,
}

/// How embeddings are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Settings {
    /// Which windows were chosen. It is only recorded.
    pub choice: Choice,
    /// What is kept of a window's tokens.
    pub pool: Pool,
    /// The type of the numbers.
    pub dtype: FloatType,
}

impl Choice {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::ZoomOut => "zoom-out",
            Self::Plan => "plan",
            Self::Grid => "grid",
        }
    }
}

impl Pool {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Mean => "mean",
            Self::None => "none",
        }
    }
}
