#![no_main]

custody_fuzz::target!("older_signature");
