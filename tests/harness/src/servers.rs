//! Real servers and tools on loopback, for the tests that need them.
//!
//! In: a folder of the test's own and the few choices that matter. Out: a running server with its addresses, ready when
//! `start` returns, killed when it is dropped or when the test process ends in any way. A server that does not come up, or a
//! binary that is not built, is an error with the end of its log. Nothing here connects beyond loopback, and
//! nothing listens beyond it but fulcio for its metrics: that port is always there, and no flag says at which
//! address.

pub mod certificates;
pub mod controllers;
pub mod cosign;
pub mod crane;
pub mod distribution;
pub mod etcd;
pub mod github_run;
pub mod issuer;
pub mod keyless;
pub mod kube_apiserver;
pub mod listener;
pub mod login;
pub mod nats;
pub mod nats_wire;
pub mod oci;
pub mod operator;
pub mod pods;
pub mod ports;
pub mod process;
pub mod refreg;
pub mod sigstore;
pub mod tool_run;
pub mod workloads;
