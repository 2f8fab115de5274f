//! Fuzzes `harness::remote_write`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| barograph_fuzz::harness::remote_write(data));
