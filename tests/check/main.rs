//! `custody check` on real servers: images signed and attested by the real cosign, in real registries, and then tampered
//! with in that registry. The real program is run; its exit code and its JSON are what counts.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod blobs;
mod bounded;
mod estate;
mod genuine;
mod logins;
mod program;
mod tampered;
mod unreachable;
