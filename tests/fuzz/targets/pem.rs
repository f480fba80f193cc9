#![no_main]

custody_fuzz::target!("pem");
