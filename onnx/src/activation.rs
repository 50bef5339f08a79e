//! What a calibration sees of the activations that linear layers take, on its way from the runtime, which runs the
//! [`Variant::Observed`](crate::Variant::Observed) graph, to the converter, which quantises with it.

use std::collections::BTreeMap;

/// What was seen of the tensors that linear layers take, by the layer's name in the checkpoint.
pub type Activations = BTreeMap<String, Activation>;

/// What was seen of one tensor `[B, N, inputs]`, over all windows.
#[derive(Debug, Clone, PartialEq)]
pub struct Activation {
    /// Least element per channel.
    pub min: Vec<f32>,
    /// Greatest element per channel.
    pub max: Vec<f32>,
}

impl Activation {
    /// Widens what was seen by what another window shows of the same layer.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.min.iter_mut().zip(&other.min) {
            *mine = mine.min(*theirs);
        }
        for (mine, theirs) in self.max.iter_mut().zip(&other.max) {
            *mine = mine.max(*theirs);
        }
    }

    /// Greatest magnitude per channel.
    #[must_use]
    pub fn magnitude(&self) -> Vec<f32> {
        self.min.iter().zip(&self.max).map(|(min, max)| min.abs().max(max.abs())).collect()
    }
}

/// An output of an observed graph that is not one of its stage's own: `[inputs]` of one layer.
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

    /// The layer that an output of an observed graph tells of; none if it tells of none.
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
