//! Fuzzes `harness::label_set`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| barograph_fuzz::harness::label_set(data));
