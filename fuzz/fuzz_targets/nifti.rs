#![no_main]

#[cfg(not(feature = "runtime"))]
#[allow(dead_code)] // Each target uses one function.
#[path = "../../tests/src/hostile_nifti.rs"]
mod nifti;

#[cfg(not(feature = "runtime"))]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| drop(nifti::plain(bytes)));

#[cfg(feature = "runtime")]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| segvol_tests::hostile::fuzz("nifti", bytes));
