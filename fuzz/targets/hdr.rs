//! Fuzzes `harness::hdr`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| barograph_fuzz::harness::hdr(data));
