//! The binary `custody`.

use std::process::ExitCode;

/// Many small rows are made on one thread and let go on another. The C library's allocator spends twice the time on that, and
/// its arenas, one for each thread, keep holes for good. How this one is set is in `.cargo/config.toml`.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    cli::run()
}
