//! One method per ONNX operator, with the names of the specification.
//!
//! Axes count from 0, or from the end if negative. `reshape` takes constant shapes only: 0 keeps an axis, so a batch or
//! token count of any size needs no `Shape` operator.

use crate::element_type::ElementType;
use crate::graph::{Graph, Value, float_attribute, int_attribute, ints_attribute};

impl Graph {
    /// `a + b`, broadcast.
    #[must_use]
    pub fn add(&self, a: &Value, b: &Value) -> Value {
        self.node("Add", &[a, b], vec![])
    }

    /// `a - b`, broadcast.
    #[must_use]
    pub fn sub(&self, a: &Value, b: &Value) -> Value {
        self.node("Sub", &[a, b], vec![])
    }

    /// `a * b`, broadcast.
    #[must_use]
    pub fn mul(&self, a: &Value, b: &Value) -> Value {
        self.node("Mul", &[a, b], vec![])
    }

    /// `a / b`, broadcast.
    #[must_use]
    pub fn div(&self, a: &Value, b: &Value) -> Value {
        self.node("Div", &[a, b], vec![])
    }

    /// Matrix product over the last two axes; the others are broadcast.
    #[must_use]
    pub fn mat_mul(&self, a: &Value, b: &Value) -> Value {
        self.node("MatMul", &[a, b], vec![])
    }

    /// Square root.
    #[must_use]
    pub fn sqrt(&self, x: &Value) -> Value {
        self.node("Sqrt", &[x], vec![])
    }

    /// Error function.
    #[must_use]
    pub fn erf(&self, x: &Value) -> Value {
        self.node("Erf", &[x], vec![])
    }

    /// Sine of an angle in radians.
    #[must_use]
    pub fn sin(&self, x: &Value) -> Value {
        self.node("Sin", &[x], vec![])
    }

    /// Cosine of an angle in radians.
    #[must_use]
    pub fn cos(&self, x: &Value) -> Value {
        self.node("Cos", &[x], vec![])
    }

    /// `1 / (1 + exp(-x))`.
    #[must_use]
    pub fn sigmoid(&self, x: &Value) -> Value {
        self.node("Sigmoid", &[x], vec![])
    }

    /// `max(x, 0)`.
    #[must_use]
    pub fn relu(&self, x: &Value) -> Value {
        self.node("Relu", &[x], vec![])
    }

    /// Softmax along one axis.
    #[must_use]
    pub fn softmax(&self, axis: i64, x: &Value) -> Value {
        self.node("Softmax", &[x], vec![int_attribute("axis", axis)])
    }

    /// Layer normalisation over the last axis.
    #[must_use]
    pub fn layer_normalization(&self, x: &Value, weight: &Value, bias: &Value, epsilon: f32) -> Value {
        let attributes = vec![int_attribute("axis", -1), float_attribute("epsilon", epsilon)];
        self.node("LayerNormalization", &[x, weight, bias], attributes)
    }

    /// Mean along one axis, which is kept with size 1.
    #[must_use]
    pub fn reduce_mean(&self, axis: i64, x: &Value) -> Value {
        let axes = self.ints(&[axis]);
        self.node("ReduceMean", &[x, &axes], vec![int_attribute("keepdims", 1)])
    }

    /// The same elements in another shape; 0 keeps an axis as it is.
    #[must_use]
    pub fn reshape(&self, x: &Value, shape: &[i64]) -> Value {
        let shape = self.ints(shape);
        self.node("Reshape", &[x, &shape], vec![])
    }

    /// Axes in another order: the result's axis `i` is `order[i]` of `x`.
    #[must_use]
    pub fn transpose(&self, x: &Value, order: &[i64]) -> Value {
        self.node("Transpose", &[x], vec![ints_attribute("perm", order)])
    }

    /// Adds an axis of size 1.
    #[must_use]
    pub fn unsqueeze(&self, axis: i64, x: &Value) -> Value {
        let axes = self.ints(&[axis]);
        self.node("Unsqueeze", &[x, &axes], vec![])
    }

    /// Removes an axis of size 1.
    #[must_use]
    pub fn squeeze(&self, axis: i64, x: &Value) -> Value {
        let axes = self.ints(&[axis]);
        self.node("Squeeze", &[x, &axes], vec![])
    }

    /// Joins tensors along an axis.
    #[must_use]
    pub fn concat(&self, axis: i64, parts: &[&Value]) -> Value {
        self.node("Concat", parts, vec![int_attribute("axis", axis)])
    }

    /// Splits a tensor along an axis into parts of these sizes.
    #[must_use]
    pub fn split<const N: usize>(&self, axis: i64, x: &Value, sizes: [usize; N]) -> [Value; N] {
        let sizes = self.ints(&sizes.map(|n| n as i64));
        self.node_with_outputs("Split", &[x, &sizes], vec![int_attribute("axis", axis)])
    }

    /// Entries of `x` along an axis at `indices`, whose shape replaces that axis.
    #[must_use]
    pub fn gather(&self, axis: i64, x: &Value, indices: &Value) -> Value {
        self.node("Gather", &[x, indices], vec![int_attribute("axis", axis)])
    }

    /// Running sum along an axis, each element included.
    #[must_use]
    pub fn cum_sum(&self, axis: i64, x: &Value) -> Value {
        let axis = self.int(axis);
        self.node("CumSum", &[x, &axis], vec![])
    }

    /// Index of the first greatest element along an axis, which is kept with size 1.
    #[must_use]
    pub fn arg_max(&self, axis: i64, x: &Value) -> Value {
        let attributes = vec![int_attribute("axis", axis), int_attribute("keepdims", 1)];
        self.node("ArgMax", &[x], attributes)
    }

    /// `a == b`, broadcast.
    #[must_use]
    pub fn equal(&self, a: &Value, b: &Value) -> Value {
        self.node("Equal", &[a, b], vec![])
    }

    /// `a > b`, broadcast.
    #[must_use]
    pub fn greater(&self, a: &Value, b: &Value) -> Value {
        self.node("Greater", &[a, b], vec![])
    }

    /// `a` where `condition` holds and `b` elsewhere, broadcast.
    #[must_use]
    pub fn r#where(&self, condition: &Value, a: &Value, b: &Value) -> Value {
        self.node("Where", &[condition, a, b], vec![])
    }

    /// The same numbers as float32.
    #[must_use]
    pub fn cast_to_f32(&self, x: &Value) -> Value {
        self.cast(x, ElementType::Float32)
    }

    /// The same numbers as float16, rounded to nearest; those beyond 65504 become infinite.
    #[must_use]
    pub fn cast_to_f16(&self, x: &Value) -> Value {
        self.cast(x, ElementType::Float16)
    }

    fn cast(&self, x: &Value, element: ElementType) -> Value {
        self.node("Cast", &[x], vec![int_attribute("to", element.code().into())])
    }

    /// Absolute value.
    #[must_use]
    pub fn abs(&self, x: &Value) -> Value {
        self.node("Abs", &[x], vec![])
    }

    /// Greatest element along `axes`, which are removed; an empty list means all axes.
    #[must_use]
    pub fn reduce_max(&self, axes: &[i64], x: &Value) -> Value {
        self.reduce("ReduceMax", axes, x)
    }

    /// Least element along `axes`, which are removed; an empty list means all axes.
    #[must_use]
    pub fn reduce_min(&self, axes: &[i64], x: &Value) -> Value {
        self.reduce("ReduceMin", axes, x)
    }

    fn reduce(&self, op: &'static str, axes: &[i64], x: &Value) -> Value {
        let keepdims = vec![int_attribute("keepdims", 0)];
        if axes.is_empty() { self.node(op, &[x], keepdims) } else { self.node(op, &[x, &self.ints(axes)], keepdims) }
    }

    /// `x` as uint8 with its own scale and zero point: `[quantised, scale, zero point]`.
    #[must_use]
    pub fn dynamic_quantize_linear(&self, x: &Value) -> [Value; 3] {
        self.node_with_outputs("DynamicQuantizeLinear", &[x], vec![])
    }

    /// Matrix product of uint8 `a`, whose zero point is `a_zero`, and int8 `b`, as int32.
    #[must_use]
    pub fn mat_mul_integer(&self, a: &Value, b: &Value, a_zero: &Value) -> Value {
        self.node("MatMulInteger", &[a, b, a_zero], vec![])
    }

    /// `round(x / scale) + zero`, saturated to the type of the zero point.
    #[must_use]
    pub fn quantize_linear(&self, x: &Value, scale: &Value, zero: &Value) -> Value {
        self.node("QuantizeLinear", &[x, scale, zero], vec![])
    }

    /// `(x - zero) * scale`, with one scale per index of `axis`, or one for the whole tensor.
    #[must_use]
    pub fn dequantize_linear(&self, axis: Option<i64>, x: &Value, scale: &Value, zero: &Value) -> Value {
        let attributes = axis.map(|axis| int_attribute("axis", axis)).into_iter().collect();
        self.node("DequantizeLinear", &[x, scale, zero], attributes)
    }

    /// ONNX Runtime's attention over `[B, N, C]`, with scale `1 / sqrt(C / heads)`.
    #[must_use]
    pub fn multi_head_attention(&self, q: &Value, k: &Value, v: &Value, heads: usize) -> Value {
        self.microsoft_node("MultiHeadAttention", &[q, k, v], vec![int_attribute("num_heads", heads as i64)])
    }
}
