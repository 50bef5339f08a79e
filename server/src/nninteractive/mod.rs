//! The protocol of nnInteractive 2.6, so that its clients can use SegVol: 3D Slicer's extension, napari's plugin, and everything else
//! that uses `nninteractive-client`. `docs/nninteractive.md` says what is different with SegVol.
//!
//! A client claims a lease, which is a session. It uploads an array, and adds interactions: points, boxes, scribbles and lassos, which
//! together describe one object. The answer to each is the part of the mask that has changed since the last answer.

mod answer;
pub mod blosc;
mod capabilities;
pub mod container;
mod given;
mod image;
mod lease;
mod request;
mod routes;
mod strokes;

pub(crate) use routes::router;
