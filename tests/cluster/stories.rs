//! The stories, by number.

pub(crate) mod s01_reviewed_release;
pub(crate) mod s02_release_tag_overwritten;
pub(crate) mod s03_pushed_by_a_person;
pub(crate) mod s04_provenance_of_something_else;
mod s05_built_elsewhere;
mod s06_late_attestation;
pub(crate) mod s07_review;
mod s08_platforms;
mod s09_unreachable_evidence;
mod s10_first_day;
mod s11_other_ways;
