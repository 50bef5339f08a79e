#![no_main]

#[cfg(not(feature = "runtime"))]
#[allow(dead_code)] // Each target uses one function.
#[path = "../../tests/src/hostile_raster.rs"]
mod raster;

#[cfg(not(feature = "runtime"))]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| raster::metaimage(bytes));

#[cfg(feature = "runtime")]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| segvol_tests::hostile::fuzz("metaimage", bytes));
