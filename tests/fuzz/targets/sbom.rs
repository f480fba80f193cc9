#![no_main]

custody_fuzz::target!("sbom");
