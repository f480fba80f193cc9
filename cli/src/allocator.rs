//! How the C library's allocator serves a process: told by its environment, and only before it begins.
//!
//! An agent does little at once and lives long in somebody else's cluster. glibc gives each of its threads an arena of
//! its own and lets the free end of each grow with the largest buffer ever freed: after a few inventories an agent has
//! twice the memory that it uses. With one arena that gives back what is free it has what it uses.
//!
//! The correlator does much at once, and is as fast with a few arenas as with eight of each processor, each with holes of its
//! own.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Whoever sets one of these has chosen already.
const CHOICES: [&str; 5] = [
    "GLIBC_TUNABLES",
    "MALLOC_ARENA_MAX",
    "MALLOC_TRIM_THRESHOLD_",
    "MALLOC_TOP_PAD_",
    "MALLOC_MMAP_THRESHOLD_",
];
/// One arena, few free bytes at its end, and buffers of 32 KiB and more (a page of a list, a batch of messages) outside of
/// it, so that they leave no holes behind.
pub(crate) const SLIM: &[(&str, &str)] = &[
    ("MALLOC_ARENA_MAX", "1"),
    ("MALLOC_TRIM_THRESHOLD_", "65536"),
    ("MALLOC_TOP_PAD_", "16384"),
    ("MALLOC_MMAP_THRESHOLD_", "32768"),
];

/// A few arenas, however many processors there are.
pub(crate) const FEW_ARENAS: &[(&str, &str)] = &[("MALLOC_ARENA_MAX", "4")];

/// Begins this program again in the same process, with an allocator that is told so. Returns where it is told something
/// already, and where the program cannot be begun again: then it is larger, and nothing else.
pub(crate) fn be_told(choice: &[(&str, &str)]) {
    if !cfg!(target_env = "gnu") || is_chosen(|name| std::env::var_os(name).is_some()) {
        return;
    }
    let Ok(program) = std::env::current_exe() else { return };
    let mut arguments = std::env::args_os();
    let mut again = Command::new(program);
    if let Some(name) = arguments.next() {
        again.arg0(name);
    }
    // Only a failure returns.
    let choice = choice.iter().map(|(name, value)| (OsStr::new(name), OsStr::new(value)));
    let _ = again.args(arguments).envs(choice).exec();
}

fn is_chosen(is_set: impl Fn(&str) -> bool) -> bool {
    CHOICES.into_iter().any(is_set)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_was_told_is_not_begun_again_and_a_choice_is_left_alone() {
        assert!(!is_chosen(|_| false));
        for choice in [SLIM, FEW_ARENAS] {
            assert!(is_chosen(|name| choice.iter().any(|(told, _)| *told == name)));
        }
        assert!(is_chosen(|name| name == "GLIBC_TUNABLES"));
    }
}
