#![no_main]

custody_fuzz::target!("strict_json");
