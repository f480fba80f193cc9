//! The Sigstore conformance suite's bundles, by the rules of its own README (folder layout, defaults, `_fail`).

use std::path::PathBuf;

use correlator_core::facts::{Refusal, Signer};
use evidence::{Artifact, Demands, LogDemand, Proof, TrustRoot, TrustSet, TrustedKey, verify_bundle};

use crate::fixtures::{folders, found, json, part, say, skipped, text};

const IDENTITY: &str = "https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon/.github/workflows/extremely-dangerous-oidc-beacon.yml@refs/heads/main";
const ISSUER: &str = "https://token.actions.githubusercontent.com";

/// One folder of the suite.
pub(crate) struct Case {
    pub(crate) name: String,
    folder: PathBuf,
    root: PathBuf,
}

/// All cases that are there with the root that they are to be verified with.
pub(crate) fn cases() -> Vec<Case> {
    let Some(suite) = part("sigstore/conformance/bundle-verify") else { return Vec::new() };
    let case = |name: String| {
        let folder = suite.join(&name);
        let own = Some(folder.join("trusted_root.json")).filter(|own| own.exists());
        let root = own.or_else(|| part("sigstore/trusted-roots/public-good.json"))?;
        Some(Case { name, folder, root })
    };
    folders(&suite).into_iter().filter_map(case).collect()
}

impl Case {
    pub(crate) fn must_fail(&self) -> bool {
        self.name.ends_with("_fail")
    }

    pub(crate) fn bundle(&self) -> Vec<u8> {
        std::fs::read(self.folder.join("bundle.sigstore.json")).unwrap()
    }

    pub(crate) fn artifact(&self) -> Vec<u8> {
        let own = self.folder.join("artifact");
        std::fs::read(if own.exists() { own } else { self.folder.join("../a.txt") }).unwrap()
    }

    /// A root or key that does not parse is a refusal as well: nothing verifies with it.
    pub(crate) fn trust(&self) -> Result<TrustSet, String> {
        let root = TrustRoot::from_json("root", &text(&self.root), Demands::default());
        let root = root.map_err(|error| error.to_string())?;
        let key = self.file("key.pub").map(|pem| TrustedKey::from_pem("key.pub", &pem, LogDemand::Required));
        let key = key.transpose().map_err(|error| error.to_string())?;
        TrustSet::new(vec![root], key.into_iter().collect()).map_err(|error| error.to_string())
    }

    fn file(&self, name: &str) -> Option<String> {
        let path = self.folder.join(name);
        path.exists().then(|| text(&path))
    }

    /// Verifies and, for certificates, checks the identity as the suite's runner demands it.
    fn run(&self) -> Result<(), String> {
        let trust = self.trust()?;
        let shown = |refused: Refusal| {
            format!("{} ({}; {})", refused.reason.as_str(), refused.expected, refused.found)
        };
        let proof: Proof =
            verify_bundle(&self.bundle(), Artifact::Bytes(&self.artifact()), &trust).map_err(shown)?;
        match (proof.signer, self.file("key.pub").is_some()) {
            (Signer::Key { logged: true, .. }, true) => Ok(()),
            (Signer::Keyless(claims), false) => {
                let identity = self.file("identity").unwrap_or_else(|| IDENTITY.to_owned());
                let issuer = self.file("issuer").unwrap_or_else(|| ISSUER.to_owned());
                if claims.subject == identity.trim() && claims.issuer.as_deref() == Some(issuer.trim()) {
                    Ok(())
                } else {
                    Err(format!("signed by {} of {:?}", claims.subject, claims.issuer))
                }
            }
            (signer, _) => Err(format!("signed by {signer:?}")),
        }
    }
}

#[test]
fn the_conformance_suite_passes() {
    let cases = cases();
    if cases.is_empty() {
        return skipped("no case of the suite that has its root");
    }
    let (mut accepted, mut refused, mut wrong) = ([0, 0], [0, 0], Vec::new());
    for case in &cases {
        let result = case.run();
        let counter = if case.must_fail() { &mut refused } else { &mut accepted };
        counter[1] += 1;
        match (&result, case.must_fail()) {
            (Ok(()), false) => counter[0] += 1,
            (Err(why), true) => {
                counter[0] += 1;
                if std::env::var_os("CUSTODY_EVIDENCE_REASONS").is_some() {
                    say(&format!("refused {}: {why}", case.name));
                }
            }
            (Ok(()), true) => wrong.push(format!("{} was accepted", case.name)),
            (Err(why), false) => wrong.push(format!("{} was refused: {why}", case.name)),
        }
    }
    say(&format!(
        "conformance: {} passed, {} failed of {} found (must verify: {} of {}; must be refused: {} of {})",
        accepted[0] + refused[0],
        wrong.len(),
        cases.len(),
        accepted[0],
        accepted[1],
        refused[0],
        refused[1],
    ));
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_derived_table_of_cases_says_the_same_as_the_folders() {
    let Some(table) = found("sigstore/conformance/cases.json") else { return };
    let (cases, mut without_folder) = (cases(), 0);
    for row in json(&table)["cases"].as_array().unwrap() {
        let name = row["name"].as_str().unwrap();
        let Some(case) = cases.iter().find(|case| case.name == name) else {
            without_folder += 1;
            continue;
        };
        assert_eq!(row["expect"] == "fail", case.must_fail(), "{name}");
        let digest = bus_schema::Digest::sha256_of(&case.artifact());
        assert_eq!(row["artifact_sha256"], digest.hex(), "{name}");
    }
    say(&format!("conformance: {without_folder} rows of the derived table without a case of theirs"));
}
