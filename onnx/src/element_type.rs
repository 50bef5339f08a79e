//! Element types of the tensors inside a graph.

use crate::proto::data_type;

/// The element types that the graphs use inside. Those of inputs and outputs are [`Dtype`](crate::Dtype).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ElementType {
    /// IEEE 754 binary32.
    Float32,
    /// IEEE 754 binary16.
    Float16,
    /// Two's complement, 64 bits.
    Int64,
    /// Two's complement, 8 bits.
    Int8,
    /// Unsigned, 8 bits.
    Uint8,
}

impl ElementType {
    /// The number that ONNX gives the type: `TensorProto.DataType`.
    #[must_use]
    pub fn code(self) -> i32 {
        match self {
            Self::Float32 => data_type::FLOAT,
            Self::Float16 => data_type::FLOAT16,
            Self::Int64 => data_type::INT64,
            Self::Int8 => data_type::INT8,
            Self::Uint8 => data_type::UINT8,
        }
    }

    /// Bytes of one element.
    #[must_use]
    pub fn bytes(self) -> usize {
        match self {
            Self::Int8 | Self::Uint8 => 1,
            Self::Float16 => 2,
            Self::Float32 => 4,
            Self::Int64 => 8,
        }
    }
}
