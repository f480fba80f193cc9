//! The registry's HTTP interface (OCI distribution specification 1.1), read only.
//!
//! In: repositories, tags and digests of one configured registry. Out: checked bytes, lists, or a typed failure. Every
//! body has a cap, every request a time, every list a length. Credentials go to the registry itself and to its
//! configured token realm, never across a redirect; a host that is not configured is not called.

pub(crate) mod challenge;
pub(crate) mod client;
pub(crate) mod error;
pub(crate) mod http;
pub(crate) mod link;
pub(crate) mod lists;
pub(crate) mod manifest;
pub(crate) mod referrers;
pub(crate) mod token;

#[cfg(test)]
pub(crate) mod fake;
