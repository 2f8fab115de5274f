//! Fuzzes `harness::round_trip`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| barograph_fuzz::harness::round_trip(data));
