//! The precisions that a bundle can hold: the element type of a stage's weights and matrix products.

use serde::{Deserialize, Serialize};

/// The element type in which a stage's weights are stored and its matrix products computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// float32 throughout.
    Fp32,
    /// float16 weights, matrix products, attention and GELU; float32 for long sums and for angles.
    Fp16,
    /// int8 weights and uint8 activations in the image encoder's blocks; float32 elsewhere.
    Int8,
}

impl Precision {
    /// Every precision, the most accurate first.
    pub const ALL: [Self; 3] = [Self::Fp32, Self::Fp16, Self::Int8];

    /// Its name in options, manifests, reports and file names.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Fp32 => "fp32",
            Self::Fp16 => "fp16",
            Self::Int8 => "int8",
        }
    }
}

impl std::fmt::Display for Precision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for Precision {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|precision| precision.name() == text).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("precision `{text}`: expected one of {names}")
        })
    }
}
