//! Encodes windows one after the other, and writes each at once.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use segvol::volume::maps::to_f16;
use segvol::{Error, FloatType, Model, Study, WindowKey};
use segvol_base::atomic_file;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::error::EmbedError;
use crate::geometry::Placed;
use crate::safetensors::Entry;
use crate::settings::{Pool, Settings};
use crate::{npy, record, safetensors};

/// The format of a file, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// All tensors, and a record as metadata.
    Safetensors,
    /// The embeddings alone; the rest is in a JSON file beside it.
    Npy,
}

/// Called with the number of windows that are written. It returns [`ControlFlow::Break`] to stop with [`Error::Cancelled`].
pub type Observer<'a> = dyn FnMut(usize) -> ControlFlow<()> + 'a;

impl Format {
    /// The format that a name says.
    ///
    /// # Errors
    /// [`EmbedError::Name`] if it says none.
    pub fn of_name(path: &Path) -> Result<Self, EmbedError> {
        let extension = path.extension().and_then(|extension| extension.to_str()).map(str::to_lowercase);
        match extension.as_deref() {
            Some("safetensors") => Ok(Self::Safetensors),
            Some("npy") => Ok(Self::Npy),
            _ => Err(EmbedError::Name { path: path.to_owned() }),
        }
    }
}

/// The JSON file beside a `.npy` file: the same name with `.json`. `None` for another format.
#[must_use]
pub fn sidecar(path: &Path) -> Option<PathBuf> {
    matches!(Format::of_name(path), Ok(Format::Npy)).then(|| path.with_extension("json"))
}

/// Writes the embeddings of `windows`, in their order, to a file whose name ends in `.safetensors` or `.npy`, and returns the shape
/// of the array: `[W, C]`, or `[W, D, H, W, C]` without pooling.
///
/// The write is atomic. Of a pair, the JSON file appears just before the other one, whose SHA-256 it has.
///
/// # Errors
/// [`EmbedError::Name`] for another name; [`EmbedError::Io`] if a file cannot be written; [`EmbedError::Segvol`] if a window cannot be
/// encoded, or `observer` stops.
pub fn save(
    path: impl AsRef<Path>,
    model: &Model,
    study: &Study,
    windows: &[WindowKey],
    settings: &Settings,
    observer: &mut Observer<'_>,
) -> Result<Vec<usize>, EmbedError> {
    let path = path.as_ref();
    let format = Format::of_name(path)?;
    let architecture = model.stages().architecture();
    let mut shape = vec![windows.len()];
    if settings.pool == Pool::None {
        shape.extend(architecture.grid_dhw());
    }
    shape.push(architecture.channels);
    let each = shape[1..].iter().product::<usize>();
    let bytes = (windows.len() as u64).checked_mul(each as u64 * width(settings.dtype)).filter(|&n| n < 1 << 62);
    let bytes = bytes.ok_or(EmbedError::TooLarge { windows: windows.len(), each })?;
    let placed: Vec<Placed> = windows.iter().map(|window| Placed::of(study, window, architecture)).collect();
    let fields = record::record(model, study, settings, &shape);
    let job = Job { study, windows, settings, channels: architecture.channels };

    let mut failed = None;
    let written = atomic_file::write(path, |file| match format {
        Format::Safetensors => {
            let (tensors, passes) = (small_tensors(&placed), passes(&placed));
            let mut entries: Vec<Entry> = tensors.iter().map(|tensor| tensor.entry()).collect();
            let dtype = if settings.dtype == FloatType::Float16 { "F16" } else { "F32" };
            entries.push(Entry { name: "embeddings", dtype, shape: shape.clone(), bytes });
            entries.push(Entry {
                name: "window_pass",
                dtype: "U8",
                shape: vec![placed.len()],
                bytes: placed.len() as u64,
            });
            let mut out = BufWriter::with_capacity(1 << 18, file);
            out.write_all(&safetensors::header(&entries, &fields))?;
            tensors.iter().try_for_each(|tensor| out.write_all(&tensor.bytes))?;
            job.write(&mut out, observer, &mut failed)?;
            out.write_all(&passes)?;
            out.flush()
        }
        Format::Npy => {
            let mut out = Hashing { out: BufWriter::with_capacity(1 << 18, file), hash: Sha256::new() };
            out.write_all(&npy::header(&shape, settings.dtype))?;
            job.write(&mut out, observer, &mut failed)?;
            out.flush()?;
            file.sync_all()?;
            let json = sidecar_text(path, &out.hash.finalize(), fields, &placed)?;
            let beside = path.with_extension("json");
            atomic_file::write(&beside, |mut file: &File| file.write_all(&json)).map_err(|source| {
                failed = Some(EmbedError::Io { path: beside.clone(), source });
                stopped()
            })
        }
    });
    match (written, failed) {
        (Ok(()), _) => Ok(shape),
        (Err(_), Some(error)) => Err(error),
        (Err(source), None) => Err(EmbedError::Io { path: path.to_owned(), source }),
    }
}

/// The JSON file beside a `.npy` file.
fn sidecar_text(path: &Path, hash: &[u8], mut fields: Map<String, Value>, placed: &[Placed]) -> io::Result<Vec<u8>> {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
    let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    fields.insert("npy".to_owned(), json!({"file": name, "sha256": hash}));
    fields.insert("placed".to_owned(), serde_json::to_value(placed)?);
    let mut text = serde_json::to_vec_pretty(&fields)?;
    text.push(b'\n');
    Ok(text)
}

/// The work of one call.
struct Job<'a> {
    study: &'a Study,
    windows: &'a [WindowKey],
    settings: &'a Settings,
    channels: usize,
}

impl Job<'_> {
    /// Writes the embeddings. A failure that is not the file's is put into `failed`.
    fn write(
        &self,
        out: &mut dyn Write,
        observer: &mut Observer<'_>,
        failed: &mut Option<EmbedError>,
    ) -> io::Result<()> {
        let mut full = None;
        let done = self.study.embed(self.windows, &mut |index, values| {
            let written = match self.settings.pool {
                Pool::None => write_numbers(out, values, self.settings.dtype),
                Pool::Mean => write_numbers(out, &mean(values, self.channels), self.settings.dtype),
            };
            match written {
                Ok(()) => observer(index + 1),
                Err(error) => {
                    full = Some(error);
                    ControlFlow::Break(())
                }
            }
        });
        match (done, full) {
            (Ok(()), _) => Ok(()),
            (Err(Error::Cancelled), Some(error)) => Err(error),
            (Err(error), _) => {
                *failed = Some(error.into());
                Err(stopped())
            }
        }
    }
}

/// Takes the place of an error that is kept elsewhere.
fn stopped() -> io::Error {
    io::Error::other("stopped")
}

/// The mean of the tokens, `[N, C] -> [C]`, summed in float64 in their order.
fn mean(tokens: &[f32], channels: usize) -> Vec<f32> {
    let mut sums = vec![0.0_f64; channels];
    let rows = tokens.chunks_exact(channels);
    let count = rows.len() as f64;
    for row in rows {
        sums.iter_mut().zip(row).for_each(|(sum, &value)| *sum += f64::from(value));
    }
    sums.into_iter().map(|sum| (sum / count) as f32).collect()
}

fn width(dtype: FloatType) -> u64 {
    match dtype {
        FloatType::Float32 => 4,
        FloatType::Float16 => 2,
    }
}

/// Little-endian.
fn write_numbers(out: &mut dyn Write, values: &[f32], dtype: FloatType) -> io::Result<()> {
    let bytes: Vec<u8> = match dtype {
        FloatType::Float32 => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        FloatType::Float16 => values.iter().flat_map(|&value| to_f16(value).to_le_bytes()).collect(),
    };
    out.write_all(&bytes)
}

/// A tensor of numbers of eight bytes.
struct Small {
    name: &'static str,
    dtype: &'static str,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Small {
    fn affines(name: &'static str, placed: &[Placed], of: impl Fn(&Placed) -> [[f64; 4]; 4]) -> Self {
        let bytes = placed.iter().flat_map(|one| of(one).into_iter().flatten().flat_map(f64::to_le_bytes)).collect();
        Self { name, dtype: "F64", shape: vec![placed.len(), 4, 4], bytes }
    }

    fn triples(name: &'static str, placed: &[Placed], of: impl Fn(&Placed) -> [i64; 3]) -> Self {
        let bytes = placed.iter().flat_map(|one| of(one).into_iter().flat_map(i64::to_le_bytes)).collect();
        Self { name, dtype: "I64", shape: vec![placed.len(), 3], bytes }
    }

    fn entry(&self) -> Entry {
        Entry { name: self.name, dtype: self.dtype, shape: self.shape.clone(), bytes: self.bytes.len() as u64 }
    }
}

fn small_tensors(placed: &[Placed]) -> [Small; 8] {
    [
        Small::affines("affine", placed, |one| one.affine),
        Small::affines("window_affine", placed, |one| one.window_affine),
        Small::triples("window_start", placed, |one| one.start_dhw),
        Small::triples("window_size", placed, |one| one.size_dhw),
        Small::triples("shown_start", placed, |one| one.shown_start_dhw),
        Small::triples("shown_end", placed, |one| one.shown_end_dhw),
        Small::triples("min_ijk", placed, |one| one.min_ijk),
        Small::triples("max_ijk", placed, |one| one.max_ijk),
    ]
}

/// 0 for the zoom-out window, 1 for any other.
fn passes(placed: &[Placed]) -> Vec<u8> {
    placed.iter().map(|one| u8::from(one.pass != "zoom_out")).collect()
}

/// Hashes what is written.
struct Hashing<W> {
    out: W,
    hash: Sha256,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.hash.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_is_that_of_each_channel() {
        assert_eq!(mean(&[1.0, 10.0, 2.0, 20.0, 6.0, 60.0], 2), [3.0, 30.0]);
        // In float32 the ones would be lost.
        let tokens: Vec<f32> = std::iter::once(1e8).chain(std::iter::repeat_n(1.0, 99)).collect();
        assert_eq!(mean(&tokens, 1), [((1e8_f64 + 99.0) / 100.0) as f32]);
    }

    #[test]
    fn a_name_says_the_format_and_a_pair_has_one_stem() {
        for (name, format) in [("a.safetensors", Format::Safetensors), ("b/c.NPY", Format::Npy)] {
            assert_eq!(Format::of_name(Path::new(name)).expect("a format"), format);
        }
        for name in ["a", "a.npz", "a.safetensors/", ".npy", "npy"] {
            let known = Format::of_name(Path::new(name)).is_ok();
            assert_eq!(known, name == "a.safetensors/", "{name}");
        }
        assert_eq!(sidecar(Path::new("x/a.b.npy")), Some(PathBuf::from("x/a.b.json")));
        assert_eq!(sidecar(Path::new("a.safetensors")), None);
    }
}
