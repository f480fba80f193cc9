//! From the contracts to what evidence is verified against.

use std::collections::BTreeMap;

use correlator_core::contracts::ContractSet;
use correlator_core::contracts::trust_root::{RootPart, RootSource};
use evidence::{Embedded, LogDemand, TrustRoot, TrustSet, TrustedKey, embedded_root};

/// Builds the trust set of a checked set of contracts from the texts of the files that it names.
pub(crate) fn set_of(
    contracts: &ContractSet,
    files: &BTreeMap<String, String>,
) -> Result<TrustSet, Vec<String>> {
    let mut problems = Vec::new();
    let (mut roots, mut embedded) = (Vec::new(), Vec::new());
    for root in contracts.roots.values() {
        let file = root.source.file();
        let Some(text) = files.get(file) else {
            problems.push(format!("trust root {}: the file {file:?} is not there", root.name));
            continue;
        };
        // Contracts of an older log hold what an older program brought along.
        if let RootSource::Embedded(which) = root.source
            && text == embedded_root(which)
        {
            embedded.push(Embedded { name: root.name.clone(), root: which, demands: root.demands });
            continue;
        }
        match TrustRoot::from_json(&root.name, text, root.demands) {
            Ok(root) => roots.push(root),
            Err(error) => problems.push(error.to_string()),
        }
    }
    let mut keys = Vec::new();
    for key in contracts.keys.values() {
        let Some(text) = files.get(&key.file) else {
            problems.push(format!("the key file {:?} is not there", key.file));
            continue;
        };
        let log = if key.log_required { LogDemand::Required } else { LogDemand::NotRequired };
        match TrustedKey::from_pem(&key.file, text, log) {
            Ok(trusted) => keys.push(trusted.with_id(key.id.clone())),
            Err(error) => problems.push(error.to_string()),
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    TrustSet::with_embedded(roots, embedded, keys).map_err(|error| vec![error.to_string()])
}

/// What of a root is withdrawn by a name that nothing in the root has: whoever wrote it may think that it is done.
pub(crate) fn unknown_parts(contracts: &ContractSet, trust: &TrustSet) -> Vec<String> {
    let withdrawn = contracts.roots.values().filter(|root| !root.revoked.is_empty());
    let mut unknown = Vec::new();
    for root in withdrawn {
        let Some(parts) = trust.roots().find(|read| read.version().name == root.name).map(TrustRoot::parts)
        else {
            continue;
        };
        let name = &root.name;
        unknown.extend(root.revoked.iter().filter_map(|revoked| match revoked.part {
            RootPart::Authority(authority) if !parts.authorities.contains(&authority) => Some(format!(
                "trust root {name}: no certificate of it is the revoked authority {authority}; only what rests on such a \
                 certificate outside of it is withdrawn"
            )),
            RootPart::Log(log) if !parts.logs.contains(&log) => {
                Some(format!("trust root {name}: no log of it is the revoked log {log}, so that nothing is withdrawn"))
            }
            _ => None,
        }));
    }
    unknown
}
