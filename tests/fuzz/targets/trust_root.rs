#![no_main]

custody_fuzz::target!("trust_root");
