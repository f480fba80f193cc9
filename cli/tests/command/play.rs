//! The recording: what it must come to, that kills change nothing, and that changed evidence is refused by name.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::{custody, err, out, run};

/// The time that the issue of a recording may take.
const TIME_MAX: Duration = Duration::from_secs(60);
const KILLS: u32 = 20;
/// Between which a kill comes after a start: from the opening of the folder to the middle of judging.
const KILL_AFTER_MILLIS: std::ops::Range<u64> = 20..1_400;

/// What a play came to, without times.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Came {
    pub(crate) verdicts: BTreeSet<String>,
    pub(crate) cases: BTreeSet<String>,
}

impl Came {
    /// Without the cases that are over. The windows of the recording are seconds of this machine's clock: one that ended while
    /// nothing ran opens a case that late evidence resolves, and leaves it in the list.
    pub(crate) fn at_the_end(&self) -> Came {
        let cases = self.cases.iter().filter(|case| !case.ends_with(" resolved")).cloned().collect();
        Came { verdicts: self.verdicts.clone(), cases }
    }
}

/// Plays to the end and reads the last line.
pub(crate) fn play(folder: &Path, data: &Path, more: &[&str]) -> (Came, Value) {
    let data = data.to_str().unwrap();
    let mut arguments = vec!["up", "--sample", "--once", "--output", "json", "--data", data];
    arguments.extend(more);
    let began = Instant::now();
    let output = run(folder, &arguments);
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    assert!(err(&output).contains("This is a recording"), "{}", err(&output));
    assert!(began.elapsed() < TIME_MAX, "it took {:?}", began.elapsed());
    let last: Value = serde_json::from_str(out(&output).lines().last().unwrap()).unwrap();
    (came(&last), last)
}

/// What a play comes to that nothing disturbs. Played once for all tests.
pub(crate) fn undisturbed() -> &'static Came {
    static WHOLE: OnceLock<Came> = OnceLock::new();
    let folder = tempfile::tempdir().unwrap();
    WHOLE.get_or_init(|| play(folder.path(), &folder.path().join("data"), &[]).0)
}

pub(crate) fn came(report: &Value) -> Came {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let verdicts = report["verdicts"].as_array().unwrap().iter().map(|verdict| {
        let links = verdict["links"].as_array().unwrap().iter();
        let links: Vec<String> =
            links.map(|link| format!("{} {}", text(&link["kind"]), text(&link["state"]))).collect();
        let [digest, image, state] = ["digest", "image", "verdict"].map(|field| text(&verdict[field]));
        format!("{digest} {image} {state}: {}", links.join(", "))
    });
    let cases = report["cases"].as_array().unwrap().iter().map(|case| {
        let [rule, subject, state] = ["rule", "subject", "state"].map(|field| text(&case[field]));
        format!("{rule} {subject} {state}")
    });
    Came { verdicts: verdicts.collect(), cases: cases.collect() }
}

#[test]
fn the_recording_comes_to_trusted_releases_and_a_case_for_each_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let (came, report) = play(folder.path(), &folder.path().join("data"), &[]);
    let trusted = came.verdicts.iter().filter(|verdict| verdict.contains(" trusted: ")).count();
    assert!(trusted >= 2, "{came:#?}");
    for rule in [
        "out-of-pipeline-deploy",
        "tag-overwritten",
        "broken-provenance",
        "workflow-changed-unreviewed",
        "unreviewed-commit-released",
        "push-outside-ci",
    ] {
        let is_open = |case: &String| case.starts_with(&format!("{rule} ")) && case.ends_with(" open");
        assert!(came.cases.iter().any(is_open), "no open {rule} in {came:#?}");
    }
    assert!(report["verdicts"].as_array().unwrap().iter().all(|verdict| verdict["links"].is_array()));
}

#[test]
fn kills_at_any_moment_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut moments = Moments::of_seed();
    for _ in 0..KILLS {
        let mut child = custody(folder.path())
            .args(["up", "--sample", "--once", "--output", "json", "--data", data.to_str().unwrap()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(moments.next());
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let (found, _) = play(folder.path(), &data, &[]);
    assert_eq!(found.at_the_end(), undisturbed().at_the_end());
    let verified = run(folder.path(), &["log", "verify", "--data", data.to_str().unwrap()]);
    assert_eq!(verified.status.code(), Some(0), "{}{}", out(&verified), err(&verified));
    check_alerts(&data, &found);
}

/// Every alert that somebody was to get was got, and no opening under two ids.
fn check_alerts(data: &Path, found: &Came) {
    let text = fs::read_to_string(data.join("alerts.jsonl")).unwrap();
    let alerts: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let ids: Vec<&str> = alerts.iter().map(|alert| alert["id"].as_str().unwrap()).collect();
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "one id was told twice: {text}");
    let mut opened: BTreeMap<&str, u32> = BTreeMap::new();
    for alert in alerts.iter().filter(|alert| alert["change"] == "opened") {
        *opened.entry(alert["case"].as_str().unwrap()).or_default() += 1;
    }
    assert!(opened.values().all(|openings| *openings == 1), "a second id: {opened:?}\n{text}");
    for rule in ["out-of-pipeline-deploy", "tag-overwritten", "broken-provenance"] {
        assert!(found.cases.iter().any(|case| case.starts_with(rule)));
        assert!(alerts.iter().any(|alert| alert["rule"] == rule), "nobody was told of {rule}: {text}");
    }
}

/// Random moments from a seed that a failure prints: `CUSTODY_SEED` gives the same again.
struct Moments(u64);

impl Moments {
    fn of_seed() -> Moments {
        let given = std::env::var("CUSTODY_SEED").ok().and_then(|text| text.parse().ok());
        let now =
            || u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros()).unwrap();
        let seed = given.unwrap_or_else(now);
        println!("kills at random moments of CUSTODY_SEED={seed}");
        Moments(seed)
    }

    /// SplitMix64.
    fn next(&mut self) -> Duration {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        let span = KILL_AFTER_MILLIS.end - KILL_AFTER_MILLIS.start;
        Duration::from_millis(KILL_AFTER_MILLIS.start + mixed % span)
    }
}

#[test]
fn evidence_with_flipped_bytes_is_refused_by_name_and_proves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let recording = folder.path().join("recording");
    let flipped = copy_with_flipped_evidence(&recording);
    let data = folder.path().join("data");
    let (came, _) = play(folder.path(), &data, &["--recording", recording.to_str().unwrap()]);
    assert!(!came.verdicts.iter().any(|verdict| verdict.contains(" trusted: ")), "{came:#?}");
    let trace = run(
        folder.path(),
        &[
            "trace",
            "registry.acme.example/acme/payments-api:v1.0.0",
            "--output",
            "json",
            "--data",
            data.to_str().unwrap(),
        ],
    );
    let trace: Value = serde_json::from_str(&out(&trace)).unwrap();
    let evidence = trace["evidence"].as_array().unwrap();
    assert!(!evidence.is_empty());
    for one in evidence {
        assert!(flipped.contains(one["id"].as_str().unwrap()), "{one}");
        assert_eq!(one["state"], "refused", "{one}");
        assert!(!one["reason"].as_str().unwrap().is_empty(), "{one}");
    }
}

/// Copies the project's recording.
pub(crate) fn copy_recording(to: &Path) {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("sample");
    for part in ["", "contracts", "blobs"] {
        fs::create_dir_all(to.join(part)).unwrap();
        for entry in fs::read_dir(from.join(part)).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                fs::copy(&path, to.join(part).join(path.file_name().unwrap())).unwrap();
            }
        }
    }
}

/// Copies the project's recording with one byte of each signature changed, under the digest of the changed bytes. Answers
/// those digests.
fn copy_with_flipped_evidence(to: &Path) -> BTreeSet<String> {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("sample");
    copy_recording(to);
    let mut events = fs::read_to_string(from.join("events.jsonl")).unwrap();
    let mut flipped = BTreeSet::new();
    for entry in fs::read_dir(from.join("blobs")).unwrap() {
        let path = entry.unwrap().path();
        let mut text = fs::read_to_string(&path).unwrap();
        let at = text.find("\"sig\":\"").expect("an envelope's signature") + "\"sig\":\"".len() + 20;
        let other = if text.as_bytes()[at] == b'A' { "B" } else { "A" };
        text.replace_range(at..=at, other);
        let digest = bus_schema::Digest::sha256_of(text.as_bytes());
        fs::write(to.join("blobs").join(digest.hex()), &text).unwrap();
        events = events.replace(path.file_name().unwrap().to_str().unwrap(), &digest.hex());
        flipped.insert(digest.to_string());
    }
    fs::write(to.join("events.jsonl"), events).unwrap();
    flipped
}
