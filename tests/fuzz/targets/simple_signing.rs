#![no_main]

custody_fuzz::target!("simple_signing");
