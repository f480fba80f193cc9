//! What a check of contracts looks at beyond their text: the trust roots and keys that they name.

use correlator_core::contracts::ContractSet;
use correlator_core::input::ContractLoaded;
use evidence::{LogDemand, TrustRoot, TrustedKey};

/// Trust roots and keys that cannot be used.
pub(crate) fn trust_problems(set: &ContractSet, loaded: &ContractLoaded) -> Vec<String> {
    let mut problems = Vec::new();
    for root in set.roots.values() {
        if let Some(text) = loaded.files.get(&root.file)
            && let Err(error) = TrustRoot::from_json(&root.name, text, root.demands)
        {
            problems.push(format!("{}: {}", root.file, fleet_runtime::error_chain(&error)));
        }
    }
    for key in set.keys.values() {
        let log = if key.log_required { LogDemand::Required } else { LogDemand::NotRequired };
        if let Some(text) = loaded.files.get(&key.file)
            && let Err(error) = TrustedKey::from_pem(&key.file, text, log)
        {
            problems.push(format!("{}: {}", key.file, fleet_runtime::error_chain(&error)));
        }
    }
    problems
}
