//! The fuzz targets for a bounded number of inputs: genuine files of the fixtures, altered without knowledge of their form.
//!
//! The same seed gives the same inputs. `tests/fuzz` has the programs for a fuzzer that looks at coverage, and for longer.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use evidence::fuzzing::TARGETS;

use crate::fixtures::{files, part, say, skipped};

/// Inputs of each target. `CUSTODY_FUZZ_INPUTS` is for longer runs.
const INPUTS: usize = 5_000;
/// A larger file is a slow seed that teaches nothing more.
const SEED_BYTES_MAX: u64 = 64 << 10;
const SEED: u64 = 0x5eed_cafe;

#[test]
fn no_input_makes_a_parser_or_the_verifier_panic() {
    let seeds = seeds();
    if seeds.is_empty() {
        return skipped("no file to begin with");
    }
    let inputs = std::env::var("CUSTODY_FUZZ_INPUTS").ok().map_or(INPUTS, |text| text.parse().unwrap());
    let seed = std::env::var("CUSTODY_FUZZ_SEED").ok().map_or(SEED, |text| text.parse().unwrap());
    for target in TARGETS {
        let mut random = Random(seed);
        for number in 0..inputs {
            let bytes = altered(&seeds, &mut random);
            let ended = catch_unwind(AssertUnwindSafe(|| (target.run)(&bytes)));
            if ended.is_err() {
                let kept = std::env::temp_dir().join(format!("custody-fuzz-{}", target.name));
                std::fs::write(&kept, &bytes).unwrap();
                panic!("{} panics on input {number} of seed {seed}, kept in {}", target.name, kept.display());
            }
        }
    }
    say(&format!(
        "fuzzed: {} targets, {inputs} inputs each from {} seeds, no panic",
        TARGETS.len(),
        seeds.len()
    ));
}

#[test]
fn each_target_has_its_program() {
    let programs = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/targets");
    let mut there: Vec<String> = files(&programs).iter().map(|name| name.replace(".rs", "")).collect();
    let mut wanted: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
    there.sort();
    wanted.sort_unstable();
    assert_eq!(there, wanted);
}

/// Genuine files of every kind that the targets read.
fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for name in ["sigstore", "slsa", "sbom"] {
        let Some(folder) = part(name) else { continue };
        for file in files(&folder) {
            let path = folder.join(file);
            if path.metadata().unwrap().len() <= SEED_BYTES_MAX {
                seeds.push(std::fs::read(path).unwrap());
            }
        }
    }
    seeds
}

/// One seed with one to four changes.
fn altered(seeds: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut bytes = seeds[random.below(seeds.len())].clone();
    for _ in 0..=random.below(4) {
        change(&mut bytes, seeds, random);
    }
    bytes
}

/// Words that mean something to a reader of JSON, PEM, base64 or numbers.
const WORDS: [&str; 16] = [
    "\"",
    "{",
    "}",
    "[",
    "]",
    "null",
    "-1",
    "1e999",
    "18446744073709551616",
    "\\u0000",
    "\\ud800",
    "-----BEGIN ",
    "=",
    "%",
    "\u{0}",
    "\u{feff}",
];

fn change(bytes: &mut Vec<u8>, seeds: &[Vec<u8>], random: &mut Random) {
    let at = random.below(bytes.len() + 1);
    let end = (at + 1 + random.below(32)).min(bytes.len());
    match random.below(7) {
        0 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << random.below(8);
            }
        }
        1 => bytes.truncate(at),
        2 => drop(bytes.drain(at.min(end)..end)),
        3 => drop(bytes.splice(at..at, WORDS[random.below(WORDS.len())].bytes())),
        4 => {
            let again = bytes[at.min(end)..end].to_vec();
            drop(bytes.splice(at..at, again));
        }
        5 => {
            let other = &seeds[random.below(seeds.len())];
            let from = random.below(other.len() + 1);
            let to = (from + random.below(256)).min(other.len());
            drop(bytes.splice(at..at, other[from..to].iter().copied()));
        }
        _ => {
            for byte in &mut bytes[at.min(end)..end] {
                *byte = u8::try_from(random.below(256)).unwrap();
            }
        }
    }
}

/// SplitMix64: small, and the same everywhere.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below the bound, which is not zero.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(bound).unwrap()).unwrap()
    }
}
