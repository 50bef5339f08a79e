#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| segvol_tests::hostile::fuzz("nnia", bytes));
