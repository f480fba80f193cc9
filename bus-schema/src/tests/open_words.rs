//! Words that others may extend: an unknown one is kept as `Other` and survives a round trip.

use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::ci::{Conclusion, RunnerEnvironment, Trigger};
use crate::cluster::SlotKind;
use crate::fleet::Unavailable;
use crate::registry::EvidencePlace;
use crate::source::{Permission, ReviewState};
use crate::verdict::{BreakReason, UnknownReason};

fn check<T: Serialize + DeserializeOwned + Debug + PartialEq + for<'a> From<&'a str>>(known: &str) {
    let read = |word: &str| serde_json::from_value::<T>(word.into()).unwrap();
    let is_other = |word: &T| format!("{word:?}").starts_with("Other(");
    assert!(!is_other(&read(known)), "{known} is known");
    assert_eq!(serde_json::to_value(read(known)).unwrap(), known);
    for unknown in ["", "brand_new", &known.to_uppercase(), "Other", "türkçe\u{1b}[31m"] {
        assert!(is_other(&read(unknown)), "{unknown:?} is unknown");
        assert_eq!(serde_json::to_value(read(unknown)).unwrap(), unknown);
        assert_eq!(read(unknown), T::from(unknown));
    }
    let long = "é".repeat(1000);
    let cut = serde_json::to_value(read(&long)).unwrap();
    assert_eq!(cut.as_str().unwrap().len(), crate::open_enum::OTHER_BYTES_MAX);
    assert_eq!(read(cut.as_str().unwrap()), read(&long));
}

#[test]
fn unknown_words_survive_a_round_trip_as_other() {
    check::<Conclusion>("success");
    check::<RunnerEnvironment>("github-hosted");
    check::<Trigger>("push");
    check::<SlotKind>("container");
    check::<Unavailable>("not_found");
    check::<EvidencePlace>("referrers");
    check::<Permission>("write");
    check::<ReviewState>("approved");
    check::<BreakReason>("unreviewed");
    check::<UnknownReason>("uncovered");
}

#[test]
fn an_unknown_permission_may_not_write() {
    for word in ["admin", "maintain", "write"] {
        assert!(Permission::from(word).may_write());
    }
    for word in ["owner", "ADMIN", "", "triage", "read", "none"] {
        assert!(!Permission::from(word).may_write(), "{word:?}");
    }
}
