#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| zkserver_fuzz::peers::check(data));
