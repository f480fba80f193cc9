//! How fast, how soon and how large the fleet is, against the servers below it, all in one run. CONTRIBUTING.md says how to
//! start it.
//!
//! In: events that it makes itself, real NATS servers and a Kubernetes API server, and the program's own processes. Out: tables
//! on standard error, and one JSON object with the same figures on standard output. `--only <part>` takes some of the parts;
//! `--digests <count>` chooses the longest history.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::large_futures)]
#![allow(clippy::cast_precision_loss)]

mod cluster;
mod history;
mod idle;
mod latency;
mod load;
mod place;
mod rates;
mod tables;
mod wire;
mod within;

use anyhow::{Context, bail};
use serde_json::{Map, json};

const PARTS: [&str; 5] = ["rates", "latency", "history", "cluster", "idle"];
const DIGESTS: u64 = 100_000;
const PODS: [u64; 2] = [1_000, 10_000];

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> anyhow::Result<()> {
    let (only, digests) = arguments()?;
    let mut found = Map::new();
    for part in PARTS {
        if !only.is_empty() && !only.iter().any(|one| one == part) {
            continue;
        }
        eprintln!("{part} …");
        let figures = match part {
            "rates" => {
                tables::rates_begin();
                tables::as_json(&rates::measure().await?)
            }
            "latency" => tables::latencies(latency::measure().await?),
            "history" => tables::history(history::measure(digests).await?),
            "cluster" => tables::cluster(cluster::measure(&PODS).await?),
            _ => tables::idle(idle::measure().await?),
        };
        found.insert(part.to_owned(), figures);
    }
    println!("{}", json!(found));
    Ok(())
}

fn arguments() -> anyhow::Result<(Vec<String>, u64)> {
    let (mut only, mut digests) = (Vec::new(), DIGESTS);
    let mut given = std::env::args().skip(1);
    while let Some(argument) = given.next() {
        let value = given.next().with_context(|| format!("{argument} needs a value"))?;
        match argument.as_str() {
            "--only" if PARTS.contains(&value.as_str()) => only.push(value),
            "--digests" => digests = value.parse().context("--digests takes a number")?,
            _ => bail!("--only <{}> or --digests <count>, not {argument} {value}", PARTS.join("|")),
        }
    }
    Ok((only, digests))
}
