//! How the allocator serves a process: told by its environment, and only before it begins.
//!
//! The program's settings (`.cargo/config.toml`) are for the correlator, which does much at once. An agent does little at
//! once and lives long in somebody else's cluster: with one arena that gives back at once what is free, it has what it
//! uses.

use std::os::unix::process::CommandExt;
use std::process::Command;

/// Where the allocator looks. Whoever sets it has chosen already.
const CHOICE: &str = "_RJEM_MALLOC_CONF";
/// One arena, nothing kept that is free, and no buffers above 4 KiB kept by a thread.
const SLIM: &str = "narenas:1,dirty_decay_ms:0,lg_tcache_max:12";

/// Begins this program again in the same process, with an allocator that is told to be slim. Returns where it is told
/// something already, and where the program cannot be begun again: then it is larger, and nothing else.
pub(crate) fn be_slim() {
    if std::env::var_os(CHOICE).is_some() {
        return;
    }
    let Ok(program) = std::env::current_exe() else { return };
    let mut arguments = std::env::args_os();
    let mut again = Command::new(program);
    if let Some(name) = arguments.next() {
        again.arg0(name);
    }
    // Only a failure returns.
    let _ = again.args(arguments).env(CHOICE, SLIM).exec();
}
