#![no_main]

custody_fuzz::target!("log_entry");
