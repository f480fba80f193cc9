//! Digests, commits, runs, workloads, agents and traces at their edges.

use std::fmt::Debug;
use std::str::FromStr;

use crate::{AgentId, CaseId, CommitId, Digest, EventId, ParseError, RunId, TraceParent, WorkloadRef};

fn refused<T: FromStr<Err = ParseError> + Debug>(text: &str, position: usize) {
    let error = text.parse::<T>().expect_err(text);
    assert_eq!(error.position, position, "{error}");
}

const HASH: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

#[test]
fn a_digest_is_the_hash_of_its_bytes() {
    assert_eq!(Digest::sha256_of(b"").to_string(), format!("sha256:{HASH}"));
    assert_eq!(Digest::from_parts("sha256", HASH).unwrap(), Digest::sha256_of(b""));
    assert!(Digest::sha512_of(b"x").matches(b"x") && !Digest::sha512_of(b"x").matches(b"y"));
    assert_eq!(Digest::sha256_of(b"").short(), "e3b0c44298fc");
}

#[test]
fn a_digest_is_refused_where_it_goes_wrong() {
    refused::<Digest>("", 0);
    refused::<Digest>(HASH, 64);
    refused::<Digest>(&format!("sha1:{HASH}"), 0);
    refused::<Digest>(&format!("SHA256:{HASH}"), 0);
    refused::<Digest>(&format!("sha256:{}", &HASH[..63]), 70);
    refused::<Digest>(&format!("sha256:{HASH}00"), 71);
    refused::<Digest>(&format!("sha512:{HASH}"), 71);
    refused::<Digest>(&format!("sha256:{}é", &HASH[..62]), 69);
}

#[test]
fn a_commit_of_zeros_is_no_commit() {
    let zeros = "0".repeat(40);
    refused::<CommitId>(&zeros, 0);
    assert_eq!(CommitId::parse_or_zero(&zeros), Ok(None));
    assert_eq!(CommitId::parse_or_zero(HASH).unwrap().unwrap().short(), "e3b0c44298fc");
    refused::<CommitId>(&HASH[..39], 39);
    refused::<CommitId>(&HASH[..41], 41);
    refused::<CommitId>("", 0);
}

#[test]
fn a_run_has_one_text() {
    let run: RunId = "GitHub.com/42/7/1".parse().unwrap();
    assert_eq!(run.to_string(), "github.com/42/7/1");
    refused::<RunId>("github.com/42/7", 15);
    refused::<RunId>("github.com/42/07/1", 14);
    refused::<RunId>("github.com/42/7/0", 16);
    refused::<RunId>("github.com/42/7/4294967296", 16);
    refused::<RunId>("github.com/42/18446744073709551616/1", 14);
    refused::<RunId>("github.com/4 2/7/1", 12);
}

#[test]
fn a_workload_is_four_names() {
    let workload: WorkloadRef = "uid/payments/Deployment/api".parse().unwrap();
    assert_eq!(workload.kind, "Deployment");
    refused::<WorkloadRef>("uid/payments/api", 16);
    refused::<WorkloadRef>("uid/pay ments/Deployment/api", 7);
    refused::<WorkloadRef>("uid/payments//api", 13);
    refused::<WorkloadRef>("/payments/Deployment/api", 0);
    let built = |name| WorkloadRef::new("uid".parse().unwrap(), "payments", "Deployment", name);
    assert_eq!(built("api"), Ok(workload));
    assert_eq!(built("a/b").unwrap_err().position, 27);
}

#[test]
fn an_agent_is_a_label() {
    assert_eq!("ci-github-2".parse::<AgentId>().unwrap().as_str(), "ci-github-2");
    refused::<AgentId>("-a", 0);
    refused::<AgentId>("abc-", 3);
    refused::<AgentId>("a.b", 1);
    refused::<AgentId>("a*", 1);
    refused::<AgentId>(">", 0);
    refused::<AgentId>("", 0);
    refused::<AgentId>(&"a".repeat(64), 63);
}

#[test]
fn derived_ids_depend_on_every_field_and_on_where_fields_end() {
    assert_eq!(CaseId::derive(["a", "b"]), CaseId::derive(["a", "b"]));
    assert_ne!(CaseId::derive(["a", "b"]), CaseId::derive(["ab", ""]));
    assert_ne!(CaseId::derive(["a", "b"]), CaseId::derive(["a"]));
    refused::<CaseId>("ask-0123", 0);
    refused::<CaseId>("case-0123", 9);
    refused::<EventId>(&HASH[1..], 63);
    refused::<EventId>(&HASH.to_uppercase(), 0);
}

#[test]
fn a_trace_has_ids_that_are_not_zero() {
    let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    assert_eq!(text.parse::<TraceParent>().unwrap().trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
    refused::<TraceParent>(&text.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)), 3);
    refused::<TraceParent>(&text.replace("00f067aa0ba902b7", &"0".repeat(16)), 36);
    refused::<TraceParent>(&text.replacen("00", "ff", 1), 0);
    refused::<TraceParent>(&text.to_uppercase(), 4);
    refused::<TraceParent>(&text[..54], 54);
    let derived = TraceParent::derive(["a delivery"]);
    assert_eq!(derived.to_string().parse(), Ok(derived));
}
