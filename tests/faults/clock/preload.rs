//! Stands before the C library in a process: its wall clock differs by what a file says, and every other clock is what it is.
//!
//! Built by the test itself as a library that the loader puts first. It is no part of any program.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::os::unix::fs::FileExt;
use std::sync::OnceLock;

const CLOCK_REALTIME: c_int = 0;
/// The next library that has the name.
const NEXT: *mut c_void = -1_isize as *mut c_void;
const NAME: &CStr = c"clock_gettime";
const NANOS_PER_SECOND: i64 = 1_000_000_000;

#[repr(C)]
pub struct Time {
    seconds: i64,
    nanos: i64,
}

type Read = unsafe extern "C" fn(c_int, *mut Time) -> c_int;

unsafe extern "C" {
    fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn clock_gettime(clock: c_int, time: *mut Time) -> c_int {
    static NEXT_READ: OnceLock<Read> = OnceLock::new();
    let next = NEXT_READ.get_or_init(|| {
        let found = unsafe { dlsym(NEXT, NAME.as_ptr()) };
        assert!(!found.is_null(), "the C library has no clock");
        unsafe { std::mem::transmute::<*mut c_void, Read>(found) }
    });
    let answer = unsafe { next(clock, time) };
    if answer == 0 && clock == CLOCK_REALTIME {
        let time = unsafe { &mut *time };
        let nanos = time.nanos + ahead_nanos();
        time.seconds += nanos.div_euclid(NANOS_PER_SECOND);
        time.nanos = nanos.rem_euclid(NANOS_PER_SECOND);
    }
    answer
}

/// How far the clock is ahead, as the test wrote it last.
fn ahead_nanos() -> i64 {
    static FILE: OnceLock<Option<std::fs::File>> = OnceLock::new();
    let open = || std::fs::File::open(std::env::var_os("CUSTODY_TEST_CLOCK")?).ok();
    let mut bytes = [0; 8];
    let read = FILE.get_or_init(open).as_ref().map(|file| file.read_exact_at(&mut bytes, 0));
    if read.is_some_and(|read| read.is_ok()) { i64::from_le_bytes(bytes) } else { 0 }
}
