//! How fast, how soon and how large the fleet is, against the servers below it, all in one run. CONTRIBUTING.md says how to
//! start it.
//!
//! In: events that it makes itself, real NATS servers and a Kubernetes API server, and the program's own processes. Out: tables
//! on standard error, and one JSON object with the same figures on standard output. `--only <part>` takes some of the parts;
//! `--digests <count>` chooses the longest history, and `--made-up <count>` the flood.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::large_futures)]
#![allow(clippy::cast_precision_loss)]

mod branch;
mod cluster;
mod flood;
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

const PARTS: [&str; 7] = ["rates", "latency", "history", "branch", "flood", "cluster", "idle"];
const DIGESTS: u64 = 100_000;
const MADE_UP: u64 = 50_000;
const PODS: [u64; 2] = [1_000, 10_000];

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> anyhow::Result<()> {
    let Arguments { only, digests, made_up } = Arguments::read()?;
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
            "branch" => tables::releases(branch::measure().await?),
            "flood" => tables::flood(flood::measure(made_up).await?),
            "cluster" => tables::cluster(cluster::measure(&PODS).await?),
            _ => tables::idle(idle::measure().await?),
        };
        found.insert(part.to_owned(), figures);
    }
    println!("{}", json!(found));
    Ok(())
}

struct Arguments {
    /// The parts to measure; all where it is empty.
    only: Vec<String>,
    digests: u64,
    made_up: u64,
}

impl Arguments {
    fn read() -> anyhow::Result<Arguments> {
        let mut read = Arguments { only: Vec::new(), digests: DIGESTS, made_up: MADE_UP };
        let mut given = std::env::args().skip(1);
        while let Some(argument) = given.next() {
            let value = given.next().with_context(|| format!("{argument} needs a value"))?;
            let count = || value.parse().with_context(|| format!("{argument} takes a number"));
            match argument.as_str() {
                "--only" if PARTS.contains(&value.as_str()) => read.only.push(value),
                "--digests" => read.digests = count()?,
                "--made-up" => read.made_up = count()?,
                _ => {
                    let parts = PARTS.join("|");
                    bail!("--only <{parts}>, --digests <count> or --made-up <count>, not {argument} {value}")
                }
            }
        }
        Ok(read)
    }
}
