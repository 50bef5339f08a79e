//! The ranges of the activations that linear layers take, as a calibration measures them. The runtime measures them
//! with the [`Variant::Observed`](crate::Variant::Observed) graph; the converter quantises with them.

use std::collections::BTreeMap;

/// The ranges of the inputs of linear layers, by the layer's name in the checkpoint.
pub type Activations = BTreeMap<String, Activation>;

/// The range of one tensor `[B, N, inputs]` over all windows, per channel.
#[derive(Debug, Clone, PartialEq)]
pub struct Activation {
    /// Least element per channel, `[inputs]`.
    pub min: Vec<f32>,
    /// Greatest element per channel, `[inputs]`.
    pub max: Vec<f32>,
}

impl Activation {
    /// Extends the range by that of another window for the same layer.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.min.iter_mut().zip(&other.min) {
            *mine = mine.min(*theirs);
        }
        for (mine, theirs) in self.max.iter_mut().zip(&other.max) {
            *mine = mine.max(*theirs);
        }
    }

    /// Greatest absolute value per channel, `[inputs]`.
    #[must_use]
    pub fn magnitude(&self) -> Vec<f32> {
        self.min.iter().zip(&self.max).map(|(min, max)| min.abs().max(max.abs())).collect()
    }
}

/// A further output of an observed graph, beside those of its stage: `[inputs]` of one layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Observation {
    /// Least element per channel.
    Min,
    /// Greatest element per channel.
    Max,
}

impl Observation {
    fn prefix(self) -> &'static str {
        match self {
            Self::Min => "observed min ",
            Self::Max => "observed max ",
        }
    }

    /// The output's name in an observed graph.
    #[must_use]
    pub fn output(self, layer: &str) -> String {
        format!("{}{layer}", self.prefix())
    }

    /// The layer that an output of an observed graph belongs to; `None` if the output is one of the stage's own.
    #[must_use]
    pub fn layer(self, output: &str) -> Option<&str> {
        output.strip_prefix(self.prefix())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merging_keeps_the_extremes() {
        let mut seen = Activation { min: vec![-1.0, 0.0], max: vec![2.0, 1.0] };
        seen.merge(&Activation { min: vec![-3.0, 0.5], max: vec![1.0, 2.0] });
        assert_eq!(seen, Activation { min: vec![-3.0, 0.0], max: vec![2.0, 2.0] });
        assert_eq!(seen.magnitude(), [3.0, 2.0]);
    }

    #[test]
    fn an_output_names_its_layer() {
        for observation in [Observation::Min, Observation::Max] {
            assert_eq!(observation.layer(&observation.output("a.b")), Some("a.b"));
        }
        assert_eq!(Observation::Min.layer("image_embedding"), None);
    }
}
