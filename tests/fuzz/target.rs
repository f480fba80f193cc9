//! What every program here does: hand the fuzzer's bytes to one target by its name.

pub use evidence::fuzzing::{TARGETS, Target};
pub use libfuzzer_sys;

/// The target of this name. A program whose name is not there has nothing to do.
pub fn target(name: &str) -> Target {
    *TARGETS.iter().find(|target| target.name == name).unwrap_or_else(|| panic!("there is no target {name}"))
}

/// The program of one target.
#[macro_export]
macro_rules! target {
    ($name:literal) => {
        $crate::libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ($crate::target($name).run)(bytes));
    };
}
