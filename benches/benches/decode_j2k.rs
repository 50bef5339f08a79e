//! Decodes a series of JPEG 2000 slices on all cores, as a scan is read: `cargo bench -p segvol-benches --bench decode_j2k --
//! FOLDER`, with a folder that `benches/decode_j2k.py` has filled and measured with OpenJPEG alone. Linux only.
//!
//! Also decodes as many slices that are not compressed.

#![allow(clippy::print_stdout, reason = "a benchmark prints its results")]

use std::time::Instant;
use std::{env, fs};

use rayon::prelude::*;
use segvol_dicom::pixels::{Frames, PixelData, PixelFormat, TransferSyntax};

const FORMAT: PixelFormat =
    PixelFormat { rows: 512, columns: 512, bits_allocated: 16, bits_stored: 12, high_bit: 11, signed: false };

/// Processor time of all threads, in seconds, to 10 ms.
fn processor_time() -> f64 {
    let text = fs::read_to_string("/proc/self/stat").expect("Linux");
    let fields: Vec<&str> = text.rsplit(')').next().expect("fields").split_whitespace().collect();
    [11, 12].iter().map(|&field| fields[field].parse::<f64>().expect("ticks")).sum::<f64>() / 100.0
}

/// Decodes all slices to Hounsfield units, and prints how long it takes.
fn decode(name: &str, slices: &[Frames]) {
    let mut voxels = vec![0f32; slices.len() * FORMAT.pixels()];
    let (wall, processor) = (Instant::now(), processor_time());
    let each = voxels.par_chunks_mut(FORMAT.pixels()).zip(slices);
    each.for_each(|(slice, frames)| {
        frames.decode(0, slice, |stored| (stored as f64 - 1024.0) as f32).expect("a slice");
    });
    let (wall, processor) = (wall.elapsed().as_secs_f64(), processor_time() - processor);
    let (count, cores) = (slices.len(), rayon::current_num_threads());
    println!("{name}: {count} slices on {cores} cores: {wall:.2} s, {processor:.2} s of processor time");
}

fn main() {
    let Some(folder) = env::args().skip(1).find(|argument| !argument.starts_with('-')) else {
        println!("decode_j2k: needs the folder that benches/decode_j2k.py has filled");
        return;
    };
    let mut paths: Vec<_> =
        fs::read_dir(&folder).expect("a folder").map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    let streams: Vec<_> = paths.iter().map(|path| [fs::read(path).expect("a slice")]).collect();
    let of = |uid, data| Frames::new(FORMAT, &TransferSyntax::of(uid), data, 1).expect("one frame");
    let compressed = |fragments| PixelData::Fragments { fragments, offsets: &[], extended: Vec::new() };
    let slices: Vec<_> = streams.iter().map(|stream| of("1.2.840.10008.1.2.4.90", compressed(stream))).collect();
    decode("segvol, JPEG 2000", &slices);
    let words = vec![1024u16; FORMAT.pixels()];
    let slices: Vec<_> = streams.iter().map(|_| of("1.2.840.10008.1.2.1", PixelData::Words(&words))).collect();
    decode("segvol, not compressed", &slices);
}
