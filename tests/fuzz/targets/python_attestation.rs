#![no_main]

custody_fuzz::target!("python_attestation");
